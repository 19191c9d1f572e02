getent passwd Debian-exim >/dev/null || useradd --system --user-group --no-create-home --home-dir /nonexistent Debian-exim
install -d -o Debian-exim -g Debian-exim '@DIR@/spool' '@DIR@/log'
# At its default place: with -C Exim would give up root before it delivers.
install -o root -g root -m 0644 '@DIR@/exim.conf' /etc/exim4/exim4.conf
