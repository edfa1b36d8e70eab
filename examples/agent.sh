#!/bin/sh
# Stands in for a coding agent: writes what it was told into a file of its task's own, and commits it.
# Usage: agent.sh PROMPT, as git parallel calls it in the task's worktree.
set -eu

: "${GIT_PARALLEL_TASK:?run me by git parallel}"
prompt=${1:?usage: agent.sh PROMPT}
file=changes/$GIT_PARALLEL_TASK.md

mkdir -p "$(dirname "$file")"
printf '# %s\n\n%s\n' "$GIT_PARALLEL_TASK" "$prompt" >"$file"
git add -- "$file"
# Started again after it was stopped, it may find its work done.
git diff --cached --quiet || git commit -q -m "$GIT_PARALLEL_TASK: $(printf '%s\n' "$prompt" | head -n 1)"
echo "wrote $file"
