#!/bin/sh
# A stand-in for docker and docker-compose: it records its command lines, and plays containers in files.
#
# test_composition.py copies it under both names into a folder of PATH, where it plays: services (names), v2 (there is
# the compose plugin), running/<service> (its container's id), ended/<service> (id and status of the last one), log/<id>,
# all (what docker compose logs says), fail/<command> (an error to print), dies (a service and its status, right after
# "up").
# "docker play start|stop|end|say ..." is what the tests let happen.

call=${0##*/}
for word; do call="$call	$word"; done
printf '%s\n' "$call" >>"${0%/*}/calls"

start() { # service
    [ -e "running/$1" ] && return
    number=$((number + 1))
    id=$(printf '%04d%08d%052d' $number $$ 0)
    printf '%s' "$id" >"running/$1"
    say "$1" "$1 starts"
}

end() { # service, status
    id=$(cat "running/$1")
    rm "running/$1"
    printf '%s\tExited (%s) 2 seconds ago\n' "$id" "$2" >"ended/$1"
}

stop() { # service
    [ -e "running/$1" ] || return
    end "$1" 143
}

say() { # service, line
    echo "$2" >>"log/$(cat "running/$1")"
    echo "$1-1  | $2" >>all
}

compose() { # command, words
    command=$1
    shift
    if [ -e "fail/$command" ]; then
        cat "fail/$command" >&2
        exit 1
    fi
    while [ "${1#-}" != "$1" ]; do shift; done
    if [ "$command" = logs ]; then
        exec 3<all
        [ $# -gt 0 ] && cat <&3 >/dev/null # "--since" now
        while :; do cat <&3; sleep 0.05; done
    fi
    if [ "$command" = run ] || [ "$command" = exec ]; then
        shift
        exec "$@"
    fi
    for service in ${1:-$(cat services)}; do
        case $command in stop | restart) stop "$service" ;; esac
        case $command in up | start | restart) start "$service" ;; esac
    done
    if [ "$command" = up ] && [ -e dies ]; then
        read -r service status <dies
        say "$service" "$service has a problem"
        end "$service" "$status"
    fi
}

if [ "$1" = cp ]; then
    mkdir "$3"
    printf '%s' "$2" >"$3/copied"
    exit
fi

cd "${0%/*}" || exit
case "$1 $2" in
"compose version") [ -e v2 ] || exit 1 ;;
"version ") ;;
"play "*) shift; "$@" ;;
"logs --tail") tail -n "$3" log/"$4" ;;
"ps --all")
    for file in running/*; do
        [ -e "$file" ] && printf '%s\t%s\tUp 3 minutes\n' "$(cat "$file")" "${file#running/}"
    done
    for file in ended/*; do
        [ -e "running/${file#ended/}" ] || [ ! -e "$file" ] && continue
        printf '%s\t%s\t%s\n' "$(cut -f 1 "$file")" "${file#ended/}" "$(cut -f 2 "$file")"
    done
    ;;
*)
    while [ "$1" != --project-name ]; do shift; done
    shift 2
    compose "$@"
    ;;
esac
