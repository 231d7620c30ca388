#!/bin/sh
# make-metadata-tree.sh DIR
#
# Makes DIR with a path of every kind of metadata that a backup has to bring
# back: owners, modes, times with nanoseconds, hard links, symbolic links,
# devices, fifos, sockets, extended attributes, ACLs, capabilities, chattr
# flags, holes, odd names, deep paths. It uses only standard tools (coreutils,
# attr, acl, libcap2-bin, e2fsprogs), needs root, and prints a line
# "not made: ..." for what a tool or the file system does not offer here.
set -eu
[ $# -eq 1 ] || { echo "usage: $0 DIR" >&2; exit 2; }
umask 022
mkdir -p "$1"
cd "$1"

# try WHAT COMMAND... : runs the command, and says so if it does not work here
try() {
	what=$1
	shift
	"$@" 2>/dev/null || echo "not made: $what"
}

# --- content
: >empty
printf 'one line\n' >small
head -c 3000000 /dev/zero | tr '\0' 'x' >large
printf 'owned\n' >owned && chown 1234:5678 owned
printf 'big ids\n' >bigids && chown 4000000000:4000000001 bigids

# --- modes
for m in 0000 0400 0644 0755 4755 2755 6711 1644; do
	printf '%s\n' "$m" >"mode-$m" && chmod "$m" "mode-$m"
done
mkdir dir-sticky && chmod 1777 dir-sticky
mkdir dir-setgid && chown 0:5678 dir-setgid && chmod 2775 dir-setgid
mkdir dir-closed && printf 'inside\n' >dir-closed/file && chmod 0000 dir-closed

# --- links
printf 'linked\n' >hard-1 && ln hard-1 hard-2
mkdir links && ln hard-1 links/hard-3
ln -s small sym-relative
ln -s /nonexistent/target sym-dangling
ln -s ../../../etc/passwd sym-upwards
ln -s "$(printf 'odd\ntarget \377')" sym-odd
ln sym-relative sym-hard
chown -h 1234:5678 sym-dangling

# --- special files
mkfifo -m 0640 fifo
mknod char c 1 3 && chmod 0666 char
mknod block b 7 200 && chmod 0660 block && chown 0:6 block
mknod bigdev b 259 70000
ln char char-hard
if command -v python3 >/dev/null 2>&1; then
	python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind("socket")'
else
	echo "not made: socket"
fi

# --- names
mkdir names
printf 'n\n' >"names/$(printf 'new\nline')"
printf 'u\n' >"names/$(printf 'invalid-\377\376-utf8')"
printf 's\n' >'names/ leading and trailing '
printf 'q\n' >"names/quote'\"\\back"
printf 'd\n' >names/-dash
printf 'b\n' >"names/$(printf 'bell\007tab\tesc\033')"
printf 'e\n' >'names/größe'
printf 'g\n' >'names/*?[glob]'
printf 'l\n' >"names/$(head -c 255 /dev/zero | tr '\0' 'L')"
# A path of 5 000 bytes, longer than PATH_MAX: two halves, one moved into the other.
deep=$(head -c 200 /dev/zero | tr '\0' 'd')
half=$deep
for i in 1 2 3 4 5 6 7 8 9 10 11; do half=$half/$deep; done
mkdir -p "names/$half" "lower/$half"
printf 'bottom\n' >"lower/$half/bottom"
mv "lower/$deep" "names/$half/" && rmdir lower

# --- holes (sizes in bytes; the data lies on 64 KiB boundaries)
mkdir holes
truncate -s 1048576 holes/only-hole
truncate -s 10485760 holes/middle
printf 'middle' | dd of=holes/middle bs=65536 seek=40 conv=notrunc status=none
truncate -s 4194304 holes/begin-and-end
head -c 65536 /dev/zero | tr '\0' 'a' | dd of=holes/begin-and-end conv=notrunc status=none
head -c 65536 /dev/zero | tr '\0' 'z' | dd of=holes/begin-and-end bs=65536 seek=63 conv=notrunc status=none
truncate -s 1000000000000 holes/terabyte
printf 'end' | dd of=holes/terabyte bs=1 seek=70000000000 conv=notrunc status=none
head -c 131072 /dev/zero >holes/zeros-written

# --- extended attributes
printf 'x\n' >xattr
try "user attribute" setfattr -n user.mkcdrec -v 'a value' xattr
try "binary attribute" setfattr -n user.binary -v 0x00ff0a3d00 xattr
try "empty attribute" setfattr -n user.empty xattr
try "attribute with = in its name" setfattr -n user.a=b -v c xattr
try "trusted attribute" setfattr -n trusted.mkcdrec -v t xattr
try "large attribute" setfattr -n user.large -v "$(head -c 3000 /dev/zero | tr '\0' 'v')" xattr
try "attribute of a symbolic link" setfattr -h -n trusted.link -v l sym-dangling
try "attribute of a fifo" setfattr -n trusted.fifo -v f fifo
mkdir xattr-dir
try "attribute of a directory" setfattr -n user.dir -v d xattr-dir

# --- ACLs and capabilities
printf 'a\n' >acl
try "ACL" setfacl -m u:1234:rwx,g:5678:r-x,m::rx acl
mkdir acl-dir
try "default ACL" setfacl -m u:1234:rwx -d -m u:1234:rwx,g:5678:r-x acl-dir
printf 'i\n' >acl-dir/inherits
mkdir acl-dir/plain-below && setfacl -b -k acl-dir/plain-below 2>/dev/null || true
printf 'p\n' >acl-dir/plain-below/file
printf 'c\n' >capable && chmod 0755 capable
try "capability" setcap cap_net_raw,cap_net_bind_service=+ep capable
printf 'c\n' >capable-owned && chown 1234:5678 capable-owned
try "capability of an owned file" setcap cap_sys_time=+ei capable-owned

# --- times (the epoch, before it, far ahead, nanoseconds)
for t in '1970-01-01 00:00:00.000000001' '1969-12-31 23:59:58.5' '2038-01-20 00:00:00.123456789' \
	'2106-02-08 00:00:00' '2001-09-09 01:46:40.999999999'; do
	printf '%s\n' "$t" >"time-$t"
	touch -d "$t UTC" "time-$t"
done
printf 'two\n' >times-differ
touch -a -d '2011-11-11 11:11:11.111111111 UTC' times-differ
touch -m -d '2012-12-12 12:12:12.121212121 UTC' times-differ
touch -h -d '2003-03-03 03:03:03.030303030 UTC' sym-relative
mkdir time-dir && printf 'x\n' >time-dir/file
touch -d '2005-05-05 05:05:05.050505050 UTC' time-dir

# --- chattr flags, last: the locked ones cannot be changed any more
printf 'f\n' >flag-nodump && try "nodump flag" chattr +d flag-nodump
printf 'f\n' >flag-noatime && try "noatime flag" chattr +A flag-noatime
printf 'f\n' >flag-sync && try "sync flag" chattr +S flag-sync
printf 'f\n' >flag-append && try "append-only flag" chattr +a flag-append
printf 'f\n' >flag-immutable && ln flag-immutable flag-immutable-link && try "immutable flag" chattr +i flag-immutable
mkdir flag-dir && printf 'f\n' >flag-dir/file && try "immutable directory" chattr +i flag-dir
mkdir flag-nodump-dir && try "nodump directory" chattr +d flag-nodump-dir
mkdir flag-topdir && try "topdir flag" chattr +T flag-topdir
: >flag-nocow && try "nocow flag" chattr +C flag-nocow
printf 'no copy on write\n' >>flag-nocow
touch -d '2007-07-07 07:07:07.070707070 UTC' .
