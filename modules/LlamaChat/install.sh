#!/usr/bin/env bash
# Installs this module. Two ways:
#   - another host's setup script runs it with the argument "install": that script has made the
#     virtual environment and installed the requirements, and brings its own helper functions;
#   - by hand: ./install.sh [--model NAME] [--backend NAME] makes .venv in this folder.

if [ "${1:-}" = "install" ]; then
    # Sourced or run by the host's setup: no `exit` on the good way, and nothing to download,
    # because a model comes with the module.
    here="${moduleDirPath:-$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)}"
    say() {
        if command -v writeLine >/dev/null 2>&1; then
            writeLine "$1" "${2:-}"
        else
            echo "$1"
        fi
    }
    if [ -f "$here/models/guide.gguf" ]; then
        say "The built-in model is in place: LlamaChat works without a download." "${color_success:-}"
        say "Larger models: python model_download.py --list, in $here" "${color_info:-}"
        say "LlamaChat is installed: start the host again, and it serves text/chat." "${color_success:-}"
    else
        moduleInstallErrors="Expected the built-in model at $here/models/guide.gguf: the package is incomplete."
        say "$moduleInstallErrors" "${color_error:-}"
    fi
else
    set -eu
    cd "$(dirname "$0")"
    for candidate in "${PYTHON:-}" python3 python3.13 python3.12 python3.11 python3.10 python; do
        if [ -n "$candidate" ] &&
            "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 10))' >/dev/null 2>&1; then
            "$candidate" setup_environment.py "$@" || exit $?
            case " $* " in
                *" --help "* | *" -h "* | *" --dry-run "* | *" --uninstall "*) ;;
                *) echo "LlamaChat is installed here: its host runs it with .venv in this folder." ;;
            esac
            exit 0
        fi
    done
    echo "Python 3.10 or newer is needed and was not found. Install it, or name it: PYTHON=..." >&2
    exit 1
fi
