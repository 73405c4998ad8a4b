@echo off
rem Sets up everything into .venv and asks nothing. Windows; Linux and macOS: install.sh
rem A second run takes seconds.
setlocal
cd /d "%~dp0"

if /i "%~1"=="--help" goto usage
if /i "%~1"=="-h" goto usage

set "python="
if defined PYTHON call :try "%PYTHON%"
if not defined python call :try py -3
if not defined python call :try python
if not defined python call :try python3
if not defined python (
    echo Python 3.10 or newer is needed and was not found. 1>&2
    echo Install it, for example: winget install Python.Python.3.12 1>&2
    echo If it has another name, say so: set PYTHON=C:\path\to\python.exe 1>&2
    exit /b 1
)

%python% modules\LlamaChat\setup_environment.py --project . %*
if errorlevel 1 exit /b 1
for %%a in (%*) do if /i "%%~a"=="--dry-run" exit /b 0
for %%a in (%*) do if /i "%%~a"=="--uninstall" exit /b 0
echo Ready. Start it:   .venv\Scripts\llamachat serve
echo or ask at once:    .venv\Scripts\llamachat ask --serve "What can you do?"
exit /b 0

:try
%* -c "import sys; sys.exit(sys.version_info < (3, 10))" >nul 2>&1
if not errorlevel 1 set "python=%*"
exit /b 0

:usage
echo Usage: install.bat [OPTIONS]
echo.
echo   --model NAME     also fetch this model and use it (names: .venv\Scripts\llamachat models)
echo   --backend NAME   what to run models on: auto, cpu, cuda, vulkan
echo   --compile        compile llama.cpp for this processor, even where there is a ready-made wheel
echo   --images         compile llama.cpp's multimodal part too
echo   --again          try builds again that did not work here before
echo   --dev            also what the tests need
echo   --verbose        show all that pip and CMake say
echo   --dry-run        only say what would be done
echo   --uninstall      remove what was installed; models and data stay
echo   --help           this text
echo.
echo The Python to use can be named in the variable PYTHON; it must be 3.10 or newer.
exit /b 0
