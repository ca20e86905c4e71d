#!/bin/bash
# Run by MySQL's entry script when the database is made: an account that may only read, for Grafana.
# Secrets of deploy/make-secrets are hexadecimal; a quote in one of your own would end the literal.
reader_password=$(cat /run/secrets/userdb_reader_password)
case $reader_password in "" | *[\'\\]*)
    echo "reader.sh: userdb_reader_password is empty or holds a quote or a backslash" >&2
    exit 1
    ;;
esac
docker_process_sql --database=mysql <<SQL
CREATE USER 'reader'@'%' IDENTIFIED BY '$reader_password';
GRANT SELECT ON \`$MYSQL_DATABASE\`.* TO 'reader'@'%';
SQL
