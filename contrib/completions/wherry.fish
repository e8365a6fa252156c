# fish completion for wherry
function __wherry_complete
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
complete -c wherry -f -a '(__wherry_complete)'
