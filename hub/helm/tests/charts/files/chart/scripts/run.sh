#!/bin/sh
set -e
echo "run $1"

exit 0
