# bash completion for wherry
_wherry() {
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
complete -F _wherry wherry
