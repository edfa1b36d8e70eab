#!/bin/sh
# What 'git parallel run' does, as a careful shell script: a worktree for each task, the agents at once,
# a merge of each branch that is done, and clean-up of what was merged.
#
# usage: by-hand.sh TASKS AGENT...    in the main worktree, on the branch to merge into
set -eu
tasks=$1
shift
worktrees=../$(basename "$PWD").worktrees
base=$(git rev-parse HEAD)
failed=0

i=1
while [ "$i" -le "$tasks" ]; do
    git worktree add -q -b "feature/t$i" "$worktrees/t$i" "$base" 2>/dev/null
    i=$((i + 1))
done

i=1
while [ "$i" -le "$tasks" ]; do
    (cd "$worktrees/t$i" && exec "$@" "t$i") >"$worktrees/t$i.log" 2>&1 &
    eval "pid$i=$!"
    i=$((i + 1))
done

i=1
while [ "$i" -le "$tasks" ]; do
    eval "pid=\$pid$i"
    if ! wait "$pid"; then
        echo "t$i: the agent failed" >&2
        failed=1
    elif [ -n "$(git -C "$worktrees/t$i" status --porcelain)" ]; then
        echo "t$i: left changes behind" >&2
        failed=1
    elif ! git merge -q --no-edit "feature/t$i"; then
        git merge --abort
        echo "t$i: conflict" >&2
        failed=1
    else
        git worktree remove "$worktrees/t$i"
        git branch -q -d "feature/t$i"
        rm "$worktrees/t$i.log"
    fi
    i=$((i + 1))
done
[ "$failed" -ne 0 ] || rmdir "$worktrees"
exit "$failed"
