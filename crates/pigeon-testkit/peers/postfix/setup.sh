# The users, groups and queue directories that the package's scripts and "postfix check" would make.
getent group postdrop >/dev/null || groupadd --system postdrop
getent passwd postfix >/dev/null || useradd --system --user-group --no-create-home --home-dir /nonexistent postfix
chgrp postdrop /usr/sbin/postdrop /usr/sbin/postqueue
chmod 2755 /usr/sbin/postdrop /usr/sbin/postqueue
mkdir -p '@DIR@/data' '@DIR@/spool'
chown postfix '@DIR@/data'
cd '@DIR@/spool'
mkdir -p active bounce corrupt defer deferred flush hold incoming private saved trace public maildrop pid
chown postfix active bounce corrupt defer deferred flush hold incoming private saved trace public maildrop
chmod 0700 active bounce corrupt defer deferred flush hold incoming private saved trace
chgrp postdrop public maildrop
chmod 2710 public
chmod 1730 maildrop
cp /usr/share/postfix/dynamicmaps.cf /etc/postfix/
cp '@DIR@/main.cf' '@DIR@/master.cf' /etc/postfix/
# Postfix reads a file of this very second again and again until it is sure that nobody is writing it.
touch -d '1 minute ago' /etc/postfix/*.cf
