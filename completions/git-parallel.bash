# bash completion for git parallel
#
# Put it where bash-completion looks, under the name git-parallel (for one user:
# ~/.local/share/bash-completion/completions/git-parallel), or source it.

# Completes the last of the words that follow "git parallel". Takes the command to ask, then the words.
__git_parallel_reply ()
{
	local ask=$1 cur=${!#} prefix= answers i IFS=$'\n'
	shift
	COMPREPLY=()
	# Readline takes what follows a '=' for a word of its own.
	if [[ $cur == *=* && $COMP_WORDBREAKS == *=* ]]; then
		prefix=${cur%"${cur##*=}"}
	fi
	answers=$(IFS=' ' && $ask complete -- "$@" 2>/dev/null)
	case ${answers##*$'\n'} in
	'')
		compopt +o default +o bashdefault 2>/dev/null
		return
		;;
	*:files)
		__git_parallel_paths -f "${cur#--*=}"
		return
		;;
	*:directories)
		__git_parallel_paths -d "${cur#--*=}"
		return
		;;
	*:commands)
		i=${answers##*$'\n'}
		answers=${answers%"$i"}$(compgen -c -P "${i%:commands}" -- "${cur#--*=}")
		;;
	esac
	if [[ $- == *f* ]]; then
		COMPREPLY=($answers)
	else
		set -f
		COMPREPLY=($answers)
		set +f
	fi
	COMPREPLY=("${COMPREPLY[@]%%$'\t'*}")
	COMPREPLY=("${COMPREPLY[@]#"$prefix"}")
	# The name of a branch must not become a part of the command.
	if [[ ${COMPREPLY[*]} == *[^-_./:=@,+%A-Za-z0-9$'\n']* ]]; then
		for i in "${!COMPREPLY[@]}"; do
			printf -v "COMPREPLY[i]" %q "${COMPREPLY[i]}"
		done
	fi
	# git's own completion turns the space after a word off.
	COMPREPLY=("${COMPREPLY[@]/%/ }")
	# The latest run comes first.
	compopt -o nosort 2>/dev/null
}

__git_parallel_paths ()
{
	local path
	compopt -o filenames +o nospace 2>/dev/null
	while IFS= read -r path; do
		COMPREPLY+=("$path")
	done < <(compgen "$1" -- "$2")
}

# Completes the agent's command where one is being typed, which is after '--'.
__git_parallel_agent ()
{
	local i
	for ((i = 1; i < COMP_CWORD; i++)); do
		if [[ ${COMP_WORDS[i]} == -- ]]; then
			compopt +o nospace -o default -o bashdefault 2>/dev/null
			if declare -F _comp_command_offset >/dev/null; then
				_comp_command_offset $((i + 1))
			elif declare -F _command_offset >/dev/null; then
				_command_offset $((i + 1))
			fi
			return 0
		fi
	done
	return 1
}

# Called by git's own completion, with its variables.
_git_parallel ()
{
	local at=${__git_cmd_idx:-1} name depth
	local -a own=() alias
	__git_parallel_agent && return
	# An alias may bring words of its own: alias.pr = parallel run. It may be one of another.
	name=${COMP_WORDS[at]-}
	for ((depth = 0; depth < 8; depth++)); do
		[[ -n $name && $name != parallel ]] || break
		read -r -a alias <<<"$(__git config --get "alias.$name")"
		[[ ${alias[0]-} == '!git' ]] && alias=("${alias[@]:1}")
		name=${alias[0]-}
		own=("${alias[@]:1}" ${own[@]+"${own[@]}"})
	done
	[[ $name == parallel ]] || own=()
	__git_parallel_reply "__git parallel" ${own[@]+"${own[@]}"} "${words[@]:at+1:cword-at-1}" "$cur"
}

# Called for the command git-parallel.
__git_parallel_command ()
{
	local cur=${COMP_WORDS[COMP_CWORD]} cword=$COMP_CWORD
	local -a words=("${COMP_WORDS[@]}")
	__git_parallel_agent && return
	if declare -F _get_comp_words_by_ref >/dev/null; then
		_get_comp_words_by_ref -n =: cur words cword
	fi
	__git_parallel_reply git-parallel "${words[@]:1:cword-1}" "$cur"
}

complete -o bashdefault -o default -o nospace -F __git_parallel_command git-parallel
