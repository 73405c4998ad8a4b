@echo off
rem Installs this module. Two ways:
rem   - another host's setup script calls it with the argument "install": that script has made the
rem     virtual environment and installed the requirements;
rem   - by hand: install.bat [--model NAME] [--backend NAME] makes .venv in this folder.

if /i "%~1"=="install" goto hosted

setlocal
cd /d "%~dp0"
set "python="
if defined PYTHON call :try "%PYTHON%"
if not defined python call :try py -3
if not defined python call :try python
if not defined python call :try python3
if not defined python (
    echo Python 3.10 or newer is needed and was not found. Install it, or name it: set PYTHON=... 1>&2
    exit /b 1
)
%python% setup_environment.py %*
if errorlevel 1 exit /b 1
echo.%* | findstr /c:"--dry-run" /c:"--help" /c:"--uninstall" >nul && exit /b 0
echo LlamaChat is installed here: its host runs it with .venv in this folder.
exit /b 0

:try
%* -c "import sys; sys.exit(sys.version_info < (3, 10))" >nul 2>&1
if not errorlevel 1 set "python=%*"
exit /b 0

:hosted
rem No setlocal here: the setup script reads moduleInstallErrors. Nothing is downloaded, because a
rem model comes with the module.
if exist "%~dp0models\guide.gguf" (
    echo The built-in model is in place: LlamaChat works without a download.
    echo Larger models: python model_download.py --list, in %~dp0
    echo LlamaChat is installed: start the host again, and it serves text/chat.
) else (
    set "moduleInstallErrors=The package is incomplete: models\guide.gguf is missing"
    echo The package is incomplete: expected the built-in model at %~dp0models\guide.gguf
)
exit /b 0
