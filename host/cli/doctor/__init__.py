"""`llamachat doctor`: looks at everything that a user would be asked for.

Start at `examine` (examination.py). The host looks at what is its own; a module's own program
(`InstallOptions.Doctor`) looks at what only the module knows.
"""

from host.cli.doctor.checks import Check
from host.cli.doctor.examination import examine
from host.cli.doctor.report import report
from host.cli.doctor.settings_check import LoadSettings

__all__ = ["Check", "LoadSettings", "examine", "report"]
