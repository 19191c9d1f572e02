getent passwd courier >/dev/null || useradd --system --user-group --no-create-home --home-dir /var/lib/courier courier
mkdir -p /run/courier/authdaemon
chown courier:courier /run/courier /run/courier/authdaemon
sqlite3 '@DIR@/users.db' <'@DIR@/users.sql'
chmod 0644 '@DIR@/users.db'
install -o courier -g courier -m 0660 '@DIR@/authdaemonrc' '@DIR@/authsqliterc' /etc/courier/
