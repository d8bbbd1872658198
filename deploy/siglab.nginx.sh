#!/bin/sh
# Starts nginx, and has it read its configuration again when a replica has another address: nginx looks names up only when
# it reads it, and a container that was started again may have a new address.
set -eu

addresses() {
  for name in backend-1 backend-2 backend-3; do
    getent hosts "$name" || true
  done
}

known=$(addresses)
nginx -g 'daemon off;' &
nginx=$!
trap 'kill -QUIT "$nginx"' TERM INT QUIT
while kill -0 "$nginx" 2>/dev/null; do
  sleep 2 &
  wait $! || true
  now=$(addresses)
  # While a replica is away its name is unknown and nginx refuses to reload: it goes on as it is.
  if [ "$now" != "$known" ] && nginx -s reload; then
    known=$now
  fi
done
wait "$nginx"
