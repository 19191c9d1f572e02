#!/bin/bash
# Dovecot LMTP.  Variants by env: DC_USERDB=sql|passwd|static  DC_FSYNC=optimized|always|never
# DC_SIEVE=0|1  DC_CACHE=16M (auth_cache_size; 0: none)  DC_MINAVAIL=0  DC_LIB=/usr/lib/dovecot
. "$(dirname "$0")/../common.sh"
: "${DC_USERDB:=sql}" "${DC_FSYNC:=optimized}" "${DC_SIEVE:=0}" "${DC_CACHE:=16M}" "${DC_MINAVAIL:=0}" "${PORT:=24024}"
run=$2
case $1 in
start)
  [ -e "$run/users.sqlite" ] || make_userdb "$run"
  case $DC_USERDB in
    sql) udb="driver = sql
  args = $run/sql.conf" ;;
    passwd) udb="driver = passwd-file
  args = username_format=%u $run/users.passwd" ;;
    static) udb="driver = static
  args = uid=$MAIL_UID gid=$MAIL_GID home=$run/mail/%n" ;;
  esac
  if [ "$DC_USERDB" = static ] && [ -d "$run/mail/1" ]; then for i in $(seq "$USERS"); do mv "$run/mail/$i" "$run/mail/${i}u"; done; fi
  cat >"$run/sql.conf" <<X
driver = sqlite
connect = $run/users.sqlite
user_query = SELECT home, uid, gid FROM users WHERE userid = '%n' AND domain = '%d'
X
  plugins=; [ "$DC_SIEVE" = 1 ] && plugins=sieve
  if [ "$DC_SIEVE" = 1 ]; then
    mkdir -p "$run/sieve"
    printf 'require ["fileinto"];\nif header :contains "X-Spam-Flag" "YES" { fileinto "Spam"; stop; }\nif address :domain "from" "lists.test" { fileinto "Lists"; stop; }\nkeep;\n' >"$run/sieve/all.sieve"
    sievec "$run/sieve/all.sieve"; chmod -R a+rX "$run/sieve"
  fi
  cat >"$run/dovecot.conf" <<X
base_dir = $run/base
state_dir = $run/state
instance_name = bench
log_path = $run/dovecot.log
protocols = lmtp
ssl = no
listen = 127.0.0.1
first_valid_uid = 1
mail_location = maildir:~/Maildir
mail_fsync = $DC_FSYNC
auth_cache_size = $DC_CACHE
auth_verbose = no
stats_writer_socket_path =
postmaster_address = postmaster@bench.test
hostname = bench.test
passdb {
  driver = static
  args = nopassword=y
}
userdb {
  $udb
}
service lmtp {
  process_min_avail = $DC_MINAVAIL
  process_limit = 200
  inet_listener lmtp {
    address = 127.0.0.1
    port = $PORT
  }
}
protocol lmtp {
  mail_plugins = $plugins
}
plugin {
  sieve = file:$run/sieve/all.sieve
}
X
  mkdir -p "$run/base" "$run/state"
  dovecot -F -c "$run/dovecot.conf" >"$run/out" 2>&1 &
  echo $! >"$run/pid"; echo "127.0.0.1:$PORT" >"$run/addr"; echo "$run/mail" >"$run/store" ;;
stop) stop_pid "$(cat "$run/pid")" ;;
version) dovecot --version ;;
esac
