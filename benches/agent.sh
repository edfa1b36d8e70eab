#!/bin/sh
# The job that is measured with: one new file, one commit.
set -eu
echo "$1" >"$1.txt"
git add "$1.txt"
git commit -q -m "Add $1"
