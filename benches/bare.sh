#!/bin/sh
# The least that git can do the same with: no checks, no logs, nothing done when something fails.
#
# usage: bare.sh TASKS AGENT...    in the main worktree, on the branch to merge into
set -eu
tasks=$1
shift
worktrees=../$(basename "$PWD").worktrees
for i in $(seq "$tasks"); do
    git worktree add -q -b "feature/t$i" "$worktrees/t$i" 2>/dev/null
done
for i in $(seq "$tasks"); do
    (cd "$worktrees/t$i" && exec "$@" "t$i") &
done
wait
for i in $(seq "$tasks"); do
    git merge -q --no-edit "feature/t$i"
done
for i in $(seq "$tasks"); do
    git worktree remove "$worktrees/t$i"
    git branch -q -d "feature/t$i"
done
