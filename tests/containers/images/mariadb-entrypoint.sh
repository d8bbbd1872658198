#!/bin/bash
# At the first start: a database and its user, while nobody can connect from outside. Then the server.
set -euo pipefail
data=/var/lib/mysql
socket=/run/mysqld/first.sock
if [ ! -d "$data/mysql" ]; then
  mariadb-install-db --user=mysql --datadir="$data" --auth-root-authentication-method=socket --skip-test-db >/dev/null
  mariadbd --user=mysql --datadir="$data" --skip-networking --socket="$socket" "$@" &
  server=$!
  until mariadb-admin --socket="$socket" ping >/dev/null 2>&1; do sleep 0.2; done
  mariadb --socket="$socket" <<SQL
CREATE DATABASE IF NOT EXISTS \`$MARIADB_DATABASE\`;
CREATE USER '$MARIADB_USER'@'%' IDENTIFIED BY '$MARIADB_PASSWORD';
GRANT ALL ON \`$MARIADB_DATABASE\`.* TO '$MARIADB_USER'@'%';
SQL
  mariadb-admin --socket="$socket" shutdown
  wait "$server"
fi
exec mariadbd --user=mysql --datadir="$data" --bind-address=0.0.0.0 "$@"
