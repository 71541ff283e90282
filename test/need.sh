#!/bin/sh
# need.sh PROGRAM… : makes sure the programs are there. On Debian the packages
# have the programs' names, but for aws (awscli); python3-… are libraries of
# python3. Installs what is missing when run as root, else says in one line
# what to install and fails.
set -eu
missing=""
for p in "$@"; do
	case $p in
	aws) command -v aws >/dev/null 2>&1 || missing="$missing awscli" ;;
	python3-boto3) python3 -c 'import boto3' >/dev/null 2>&1 || /usr/bin/python3 -c 'import boto3' >/dev/null 2>&1 || missing="$missing python3-boto3" ;;
	python3-jsonschema) python3 -c 'from jsonschema import Draft202012Validator' >/dev/null 2>&1 || missing="$missing python3-jsonschema" ;;
	python3-venv) python3 -c 'import ensurepip, venv' >/dev/null 2>&1 || missing="$missing python3-venv" ;;
	*) command -v "$p" >/dev/null 2>&1 || missing="$missing $p" ;;
	esac
done
[ -z "$missing" ] && exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
	echo "installing:$missing" >&2
	apt-get update -q >&2
	# shellcheck disable=SC2086
	DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends $missing >&2
	exit 0
fi
echo "the tests need:$missing (on Debian: sudo apt-get install$missing)" >&2
exit 1
