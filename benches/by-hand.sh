#!/usr/bin/env bash
# What 'git parallel run' does, as a careful shell script: a worktree for each task, so many agents at once,
# a merge of each branch as its agent ends, and clean-up of what was merged.
#
# usage: by-hand.sh TASKS JOBS AGENT...    in the main worktree, on the branch to merge into; bash 5.1 or later
set -eu
tasks=$1
jobs=$2
shift 2
worktrees=../$(basename "$PWD").worktrees
base=$(git rev-parse HEAD)
failed=0
next=1
running=0
declare -A task_of

start() {
    git worktree add -q -b "feature/$1" "$worktrees/$1" "$base" 2>/dev/null
    (cd "$worktrees/$1" && exec "${@:2}" "$1") >"$worktrees/$1.log" 2>&1 &
    task_of[$!]=$1
    running=$((running + 1))
    next=$((next + 1))
}

# land TASK STATUS
land() {
    if [ "$2" -ne 0 ]; then
        echo "$1: the agent failed" >&2
    elif [ -n "$(git -C "$worktrees/$1" status --porcelain)" ]; then
        echo "$1: left changes behind" >&2
    elif ! git merge -q --no-edit "feature/$1"; then
        git merge --abort
        echo "$1: conflict" >&2
    else
        git worktree remove "$worktrees/$1"
        git branch -q -d "feature/$1"
        rm "$worktrees/$1.log"
        return
    fi
    failed=1
}

while [ "$next" -le "$tasks" ] || [ "$running" -gt 0 ]; do
    if [ "$next" -le "$tasks" ] && [ "$running" -lt "$jobs" ]; then
        start "t$next" "$@"
        continue
    fi
    status=0
    wait -n -p pid || status=$?
    running=$((running - 1))
    land "${task_of[$pid]}" "$status"
done
[ "$failed" -ne 0 ] || rmdir "$worktrees"
exit "$failed"
