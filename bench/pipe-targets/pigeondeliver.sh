#!/bin/bash
# PigeonDeliver's command for MTAs' pipes, as the mail user: no daemon runs.  PD_PIPE="pigeon deliver" or a name of a
# program beside the binary.  PD_SYNC as in targets/pigeondeliver.sh.
. "$(dirname "$0")/../common.sh"
: "${PD_PIPE:=$([ -x "$(dirname "$PD_BIN")/pigeon-deliver" ] && echo pigeon-deliver || echo pigeon deliver)}"
export PORT=24040
case $1 in
prepare)
  "$BENCH/targets/pigeondeliver.sh" start "$2"; wait_port "$(cat "$2/addr")" || exit 1
  "$BENCH/targets/pigeondeliver.sh" stop "$2"
  read -r name words <<<"$PD_PIPE"
  printf '%s\n' "$(dirname "$PD_BIN")/$name" $words --config "$2/pigeondeliver.toml" -d '{}u@bench.test' >"$2/argv" ;;
esac
