# watch.sh PID DIR: ends a peer whose test died without doing so. Standard input is a pipe that the test holds open.
cat >/dev/null
# A paused server goes on, or it could not end; its children may lead groups of their own.
children=$(cat "/proc/$1/task/$1/children" 2>/dev/null)
kill -TERM "$1" 2>/dev/null
kill -CONT "$1" $children 2>/dev/null
tries=50
while [ "$tries" -gt 0 ] && kill -0 "$1" 2>/dev/null; do
    sleep 0.1
    tries=$((tries - 1))
done
kill -KILL -- "-$1" 2>/dev/null
rm -rf "$2"
