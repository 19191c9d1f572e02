# enter.sh ROOT DIR COMMAND...: runs in a new mount namespace; shows the unpacked packages of ROOT at their installed
# places and becomes COMMAND, keeping its process id. Changes to /usr, /etc and /var stay in memory and go with the
# namespace. DIR is the same inside and outside. DIR/entered says that the machine allowed all this; DIR/setup.sh, if
# there, makes users and files before COMMAND starts.
set -eu
root=$1
dir=$2
shift 2
mkdir -p "$dir/layers"
mount -t tmpfs -o mode=0755 tmpfs "$dir/layers"
for top in usr etc var; do
    mkdir -p "$dir/layers/$top" "$dir/layers/work-$top"
    mount -t overlay overlay \
        -o "lowerdir=$root/$top:/$top,upperdir=$dir/layers/$top,workdir=$dir/layers/work-$top" "/$top"
done
mount -t tmpfs -o mode=0755 tmpfs /run
mkdir -p /run/lock
: >"$dir/entered"
[ ! -e "$dir/setup.sh" ] || sh -eu "$dir/setup.sh"
exec "$@"
