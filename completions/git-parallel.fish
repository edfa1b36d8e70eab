# fish completion for git parallel
#
# Put it into ~/.config/fish/conf.d: fish reads what is in completions/ for the command git-parallel only,
# not for git parallel.

# What could stand next. Takes the words that follow "git parallel", up to the cursor.
function __git_parallel_answers
    set -l current (commandline -ct)
    set -l option (string match -r -- '^--[^=]*=' $current)
    set -l typed (string replace -- "$option" '' $current)
    # It passes on what stands before 'parallel' and says which repository: -C and the like.
    set -l ask __fish_git parallel
    if string match -q git-parallel (commandline -opc)[1]
        set ask git-parallel
    end
    set -l answers ($ask complete -- $argv $current 2>/dev/null)
    switch "$answers[-1]"
        case '*:files'
            string replace -r -- '^' "$option" (__fish_complete_path $typed)
        case '*:directories'
            string replace -r -- '^' "$option" (__fish_complete_directories $typed '')
        case '*:commands'
            string join \n -- $answers[1..-2]
            string replace -r -- '^' "$option" (complete -C $typed)
        case '*'
            string join \n -- $answers
    end
end

function __git_parallel_complete
    set -l words (commandline -opc)
    set -l escape (contains -i -- -- $words)
    if test -n "$escape"
        # What follows '--' is a command of its own.
        set -l agent (string escape -- $words[(math $escape + 1)..-1]) (commandline -ct)
        complete -C "$agent"
        return
    end
    if test "$words[1]" = git-parallel
        __git_parallel_answers $words[2..-1]
        return
    end
    set -l name (__fish_git_needs_command)
    set -l at (contains -i -- "$name" $words)
    or return
    set -l own
    if test "$name" != parallel
        # An alias may bring words of its own: alias.pr = parallel run
        set own (__fish_git config --get alias.$name | string split -n ' ')[2..-1]
    end
    __git_parallel_answers $own $words[(math $at + 1)..-1]
end

complete -c git-parallel -f -k -a '(__git_parallel_complete)'
complete -c git -f -k -n '__fish_git_using_command parallel' -a '(__git_parallel_complete)'
complete -c git -f -n __fish_git_needs_command -a parallel -d 'Run agents at once, each on its own branch'
