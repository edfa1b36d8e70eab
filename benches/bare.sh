#!/bin/sh
# The least that git can do the same with: no checks, no logs, nothing done when something fails.
#
# usage: bare.sh TASKS JOBS AGENT...    in the main worktree, on the branch to merge into
set -eu
tasks=$1
jobs=$2
shift 2
worktrees=../$(basename "$PWD").worktrees
for i in $(seq "$tasks"); do
    git worktree add -q -b "feature/t$i" "$worktrees/t$i" 2>/dev/null
done
# shellcheck disable=SC2016
seq "$tasks" | xargs -P "$jobs" -I '{}' sh -c 'cd "$1" && shift && exec "$@"' sh "$worktrees/t{}" "$@" 't{}'
for i in $(seq "$tasks"); do
    git merge -q --no-edit "feature/t$i"
done
for i in $(seq "$tasks"); do
    git worktree remove "$worktrees/t$i"
    git branch -q -d "feature/t$i"
done
