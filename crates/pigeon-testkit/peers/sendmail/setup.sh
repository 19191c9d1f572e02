getent passwd smmta >/dev/null || useradd --system --user-group --no-create-home smmta
getent passwd smmsp >/dev/null || useradd --system --user-group --no-create-home smmsp
# Without a dotted name for this machine Sendmail sleeps a minute before it listens.
echo "127.0.0.1 mx.example.org $(hostname) localhost" >/etc/hosts
printf 'hosts\tfiles\naliases\tfiles\n' >'@DIR@/service.switch'
mkdir -p '@DIR@/queue'
m4 -D_CF_DIR_=/usr/share/sendmail/cf/ /usr/share/sendmail/cf/m4/cf.m4 '@DIR@/sendmail.mc' >'@DIR@/sendmail.cf'
