package shell

import "strings"

// scripts are the completion scripts. They hold no list of their own: they ask the program, so that they never are
// older than it.
func scripts(program string) map[string]string {
	all := map[string]string{"bash": bashScript, "zsh": zshScript, "fish": fishScript}
	for shell, text := range all {
		all[shell] = strings.ReplaceAll(text, "PROGRAM", program)
	}
	return all
}

const bashScript = `# bash completion for PROGRAM
_PROGRAM() {
	local cur words cword line
	if declare -F _get_comp_words_by_ref >/dev/null; then
		_get_comp_words_by_ref -n =: cur words cword
	else
		words=("${COMP_WORDS[@]}") cword=$COMP_CWORD cur=${COMP_WORDS[COMP_CWORD]}
	fi
	COMPREPLY=()
	while IFS= read -r line; do
		if [[ $line == ":files" ]]; then
			compopt -o filenames 2>/dev/null
			while IFS= read -r line; do COMPREPLY+=("$line"); done < <(compgen -f -- "$cur")
		elif [[ -n $line ]]; then
			COMPREPLY+=("${line%%$'\t'*}")
		fi
	done < <("${words[0]}" __complete "${words[@]:1:cword}" 2>/dev/null)
	if declare -F __ltrim_colon_completions >/dev/null; then
		__ltrim_colon_completions "$cur"
	fi
}
complete -F _PROGRAM PROGRAM
`

const zshScript = `#compdef PROGRAM
# zsh completion for PROGRAM
_PROGRAM() {
	local line
	local -a found
	while IFS= read -r line; do
		if [[ $line == ":files" ]]; then
			_files
		elif [[ -n $line ]]; then
			local word=${line%%$'\t'*} meaning=${line#*$'\t'}
			word=${word//:/\\:}
			if [[ $meaning == $line ]]; then found+=("$word"); else found+=("$word:$meaning"); fi
		fi
	done < <("${words[1]}" __complete "${(@)words[2,CURRENT]}" 2>/dev/null)
	(( $#found )) && _describe 'PROGRAM' found
}
if [[ $funcstack[1] == _PROGRAM ]]; then _PROGRAM "$@"; else compdef _PROGRAM PROGRAM; fi
`

const fishScript = `# fish completion for PROGRAM
function __PROGRAM_complete
	set -l words (commandline -opc)
	set -l current (commandline -ct)
	for line in ($words[1] __complete $words[2..-1] "$current" 2>/dev/null)
		if test "$line" = ":files"
			__fish_complete_path "$current"
		else if test -n "$line"
			echo $line
		end
	end
end
complete -c PROGRAM -f -a '(__PROGRAM_complete)'
`
