#!/bin/sh
# A stand-in for docker and docker-compose: it records its command lines, and plays containers in files.
#
# test_composition.py copies it under both names into a folder of PATH, where it plays: services (names), v2 (there is
# the compose plugin), running/<service> (its container's id), log/<id>, events, fail/<command> (an error to print),
# dies (a service and its status, right after "up"), state (of a container that ended).
# "docker play start|stop|end|say ..." is what the tests let happen.

call=${0##*/}
for word; do call="$call	$word"; done
printf '%s\n' "$call" >>"${0%/*}/calls"

event() { # action, service, id, exit status, one-off
    printf '{"Type": "container", "Action": "%s", "timeNano": %s, "Actor": {"ID": "%s", "Attributes": {' \
        "$1" "$(date +%s%N)" "$3" >event.$$
    printf '"com.docker.compose.project": "shop", "com.docker.compose.service": "%s", ' "$2" >>event.$$
    printf '"com.docker.compose.oneoff": "%s", "exitCode": "%s"}}}\n' "${5:-False}" "$4" >>event.$$
    cat event.$$ >>events
    rm event.$$
}

start() { # service
    [ -e "running/$1" ] && return
    number=$((number + 1))
    id=$(printf '%04d%08d%052d' $number $$ 0)
    echo "$1 starts" >"log/$id"
    printf '%s' "$id" >"running/$1"
    event start "$1" "$id" ''
}

end() { # service, status
    id=$(cat "running/$1")
    rm "running/$1"
    event die "$1" "$id" "$2"
}

stop() { # service
    [ -e "running/$1" ] || return
    event kill "$1" "$(cat "running/$1")" ''
    end "$1" 143
}

say() { # service, line
    echo "$2" >>"log/$(cat "running/$1")"
}

compose() { # command, words
    command=$1
    shift
    if [ -e "fail/$command" ]; then
        cat "fail/$command" >&2
        exit 1
    fi
    while [ "${1#-}" != "$1" ]; do shift; done
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
"play "*) shift; "$@" ;;
"events "*)
    exec 3<events
    while :; do cat <&3; sleep 0.05; done
    ;;
"logs "*)
    for id; do :; done
    for log in log/"$id"*; do exec 3<"$log"; done # the first 12 characters will do, as with docker
    while cat running/* 2>/dev/null | grep -q "$id"; do cat <&3; sleep 0.05; done
    cat <&3
    ;;
"inspect "*) cat state ;;
"ps --all")
    for word; do case $word in *compose.service=*) service=${word##*=} ;; esac; done
    grep -l "^$service starts" log/* | sed 's/^log.//' | cut -c -12
    ;;
"ps "*)
    for file in running/*; do
        [ -e "$file" ] || continue
        printf '{"ID": "%.12s", "Labels": "com.docker.compose.project=shop,com.docker.compose.service=%s"}\n' \
            "$(cat "$file")" "${file#running/}"
    done
    ;;
*)
    while [ "$1" != --project-name ]; do shift; done
    shift 2
    compose "$@"
    ;;
esac
