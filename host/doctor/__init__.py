"""`llamachat doctor`: looks at everything that a user would be asked for.

Start at `examine` (examination.py). The host looks at what is its own; a module's own program
(`InstallOptions.Doctor`) looks at what only the module knows.
"""

from host.doctor.checks import Check
from host.doctor.examination import examine
from host.doctor.report import report
from host.doctor.settings_check import LoadSettings

__all__ = ["Check", "LoadSettings", "examine", "report"]
