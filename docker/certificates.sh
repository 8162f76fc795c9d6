#!/bin/sh
# Makes an authority for this installation and a certificate for the service `postgres`, once, in the folder $1.
# The authority's key is thrown away: nothing else will ever be signed by it.
set -eu
folder=$1
owner=${2:-999} # the user `postgres` of the image postgres:17
umask 077
cd "$folder"
[ -s postgres.crt ] && exit 0
openssl req -x509 -newkey rsa:3072 -nodes -days 3650 -subj "/CN=airflow-provider-pacs local authority" \
  -addext "basicConstraints=critical,CA:TRUE" -addext "keyUsage=critical,keyCertSign,cRLSign" \
  -keyout ca.key -out ca.crt 2>/dev/null
openssl req -newkey rsa:3072 -nodes -subj "/CN=postgres" -keyout postgres.key -out postgres.csr 2>/dev/null
printf 'subjectAltName=DNS:postgres,DNS:localhost,IP:127.0.0.1\nextendedKeyUsage=serverAuth\n' >postgres.ext
openssl x509 -req -in postgres.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 3650 -extfile postgres.ext \
  -out postgres.new 2>/dev/null
rm -f ca.key ca.srl postgres.csr postgres.ext
chmod 755 .
chmod 644 ca.crt postgres.new
chmod 600 postgres.key
chown "$owner" postgres.key
mv postgres.new postgres.crt # last: a half-made set is made again
