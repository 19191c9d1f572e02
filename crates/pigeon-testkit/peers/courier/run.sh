# run.sh PORT: one foreground process over the password daemon and the IMAP server, which meet at /run of this
# namespace. The IMAP server leaves the process group, so it must be ended by name of its job.
trap 'kill $authdaemond $imap 2>/dev/null; wait; exit 0' TERM INT
/usr/lib/courier/courier-authlib/authdaemond &
authdaemond=$!
imap=
# A login before this socket is there gets "Temporary problem".
tries=500
while [ ! -S /run/courier/authdaemon/socket ] && [ "$tries" -gt 0 ]; do
    sleep 0.02
    tries=$((tries - 1))
done
set -a
. /etc/courier/imapd
. /etc/courier/imapd-ssl
set +a
export IMAP_STARTTLS=NO IMAP_TLS=0 IMAPDSTARTTLS=NO TLS_TRUSTCERTS=
/usr/sbin/couriertcpd -nodnslookup -noidentlookup -maxprocs=40 -maxperip=40 -address=127.0.0.1 \
    "$1" /usr/lib/courier/courier/imaplogin /usr/bin/imapd Maildir &
imap=$!
wait
