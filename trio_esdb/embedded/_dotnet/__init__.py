"""What a node inherits from .NET: how it reads JSON, regular expressions, numbers and ids.

EventStoreDB is a .NET program, and its libraries show in its answers. Each module follows one of them: `_json` and
`_json_values` Json.NET, `_patterns` and its parts `System.Text.RegularExpressions`, `_guids` `System.Guid`, `_texts`
numbers and white space. Pure: no I/O, no clock, no chance.
"""

from __future__ import annotations
