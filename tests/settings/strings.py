"""Connection strings, each with its meaning or its error, and the reason where kurrentdbclient differs."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from trio_esdb import BasicCredentials
from trio_esdb._settings import Host, Settings

ADMIN = BasicCredentials("admin", "changeit")
LOCAL = Host("localhost", 2113)


class Row(NamedTuple):
    """``meaning`` is what the string says, or a pattern of its error.

    ``difference`` is the reason why kurrentdbclient gives it another meaning, refuses it, or does not refuse it.
    """

    uri: str
    meaning: Settings | str
    difference: str = ""


def plain(*hosts: Host, **fields: Any) -> Settings:
    """The meaning of a string that says tls=false."""
    return Settings(hosts=hosts or (LOCAL,), tls=False, **fields)


def secure(*hosts: Host, **fields: Any) -> Settings:
    """The meaning of a string that says nothing about TLS."""
    return Settings(hosts=hosts or (LOCAL,), **fields)


def admin(*hosts: Host, **fields: Any) -> Settings:
    """The meaning of a string with admin:changeit@ that says nothing about TLS."""
    return secure(*hosts, credentials=ADMIN, **fields)


def inside(**fields: Any) -> Settings:
    """The meaning of esdb://embedded."""
    return Settings(hosts=(), tls=False, **fields)


# Why kurrentdbclient differs.
NO_USER = "there, TLS needs a user name and a password; here a certificate or a token can take their place"
KURRENT = "there, the scheme kurrent:// is not known; the official clients know it"
SEEDS = "there, +discover takes one host; here all hosts are asked for the cluster"
UNCHECKED_HOST = "there, a host is not checked; it fails when it is connected to"
UNCHECKED_PORT = "there, a port is not checked; it fails when it is connected to"
IPV6 = "there, an IPv6 address is cut at its first ':'"
EMPTY_HOST = "there, an empty host of a list is left out; it can be a missing variable of a script"
BLANKS = "there, blanks around a host are removed; no other client does this"
LINE_BREAKS = "there, line breaks and tabs are removed, as by urllib; they may be part of a mistake"
CASE = "there, the letters of a host keep their case; the case means nothing"
INSIDE = "there, embedded is a host like any other; here it is a node inside the process"
PATH = "there, a path is ignored; nothing is ignored here"
FRAGMENT = "there, a fragment is ignored; nothing is ignored here"
ENCODED = "there, %-forms in a user name and password are sent as they are written; all other clients decode them"
FIRST_AT = "there, the host begins after the first '@', so that a part of the password becomes the host"
NO_PASSWORD = "there, a user name without a password is taken without TLS"
BAD_USER = "there, a user name and password that a server cannot read are taken"
EMPTY_VALUE = "there, an empty option is ignored, so that an empty variable of a script means the default"
REPEATED = "there, one of two options of the same name wins"
SECOND_QUESTION = "there, a second '?' is part of a value"
PLUS = "there, '+' means a blank, as in forms; it is frequent in paths"
BAD_ESCAPE = "there, a '%' that is not followed by two digits is part of a value"
NOT_UTF8 = "there, bytes that are not UTF-8 become a replacement character"
PREFERENCE = "there, '-' and '_' are refused; the Node client takes them"
UNUSED = "there, an option of the official clients that has no effect is refused"
DNS_DISCOVER = "there, the option of the Node and Java clients is not known"
MILLISECONDS = "there, defaultDeadline is in seconds; all official clients read milliseconds"
DECIMAL = "there, gossipTimeout must be whole"
NUMBER = "there, a number can be as Python writes it, with blanks and '_'"
RANGE = "there, the range of a number is not checked"
OFF = "there, -1 is passed on as it is"
PAIR = "there, a certificate without a key is found when it connects"
NO_CERTIFICATES = "there, files of certificates are ignored without TLS"
USELESS = "there, a value is taken that cannot be used"

NOT_ADDRESS = "it must be a host name, an IPv4 address or an IPv6 address in brackets"
NOT_PORT = "must be a number from 1 to 65535"
ONE_PORT = "must be followed by ':' and one port, or by nothing; an IPv6 address must be in brackets"
NOT_SCHEME = "uri must begin with esdb://, kurrentdb://, kdb:// or kurrent://, or one of these with \\+discover"
ENCODE = "write '@', '/', '\\?' and '#' in a user name or password as %40, %2F, %3F and %23"
NO_PATH = "there must be no path after the address"
NO_FRAGMENT = "there must be no '#'; write it as %23 in a value"
ONE_QUESTION = "there must be one '\\?', in front of the options; write it as %3F in a value"
BOTH_SIDES = "there must be an option on both sides of each '&'"
NOT_UTF8_ERROR = "must be UTF-8 when its % forms are decoded"
NO_DIGITS = "has a '%' without two hexadecimal digits after it; write it as %25"
INSIDE_ERROR = "contradicts esdb://embedded, which is a single node inside the process, without TLS"
SECONDS = "gossipTimeout must be a number of seconds greater than 0 and less than 100, such as 5 or 0.5, not"
DEADLINE = "defaultDeadline must be a whole number of milliseconds from 100 to 2147483647, or -1 for no limit, not"
KEEP_ALIVE = "must be a whole number of milliseconds from 1 to 2147483647, or -1 for"

SCHEMES = [
    Row("esdb://admin:changeit@localhost:2113", admin()),
    Row("esdb+discover://admin:changeit@localhost:2113", admin(discover=True)),
    Row("kurrentdb://admin:changeit@localhost:2113", admin()),
    Row("kurrentdb+discover://admin:changeit@localhost:2113", admin(discover=True)),
    Row("kdb://admin:changeit@localhost:2113", admin()),
    Row("kdb+discover://admin:changeit@localhost:2113", admin(discover=True)),
    Row("kurrent://admin:changeit@localhost:2113", admin(), KURRENT),
    Row("kurrent+discover://admin:changeit@localhost:2113", admin(discover=True), KURRENT),
    Row("ESDB://admin:changeit@localhost:2113", admin()),
    Row("KurrentDB+Discover://admin:changeit@localhost:2113", admin(discover=True)),
    Row("kdb+DISCOVER://localhost?tls=false", plain(discover=True)),
    Row("", NOT_SCHEME),
    Row("localhost", NOT_SCHEME),
    Row("localhost:2113", NOT_SCHEME),
    Row("esdb:localhost:2113?tls=false", NOT_SCHEME),
    Row("esdb:/localhost:2113?tls=false", NOT_SCHEME),
    Row("//localhost:2113?tls=false", NOT_SCHEME),
    Row("://localhost?tls=false", NOT_SCHEME),
    Row("http://localhost:2113", NOT_SCHEME + ", not http://, as in"),
    Row("esbd://localhost:2113", NOT_SCHEME + r", not esbd:// \(did you mean esdb://\?\)"),
    Row(
        "esdb+discovery://localhost:2113", NOT_SCHEME + r", not esdb\+discovery:// \(did you mean esdb\+discover://\?\)"
    ),
    Row("esdb+tls://localhost:2113", NOT_SCHEME),
    Row("+discover://localhost:2113", NOT_SCHEME),
    Row("esdb+discover+discover://localhost", NOT_SCHEME),
    Row(" esdb://localhost:2113?tls=false", NOT_SCHEME, "there, blanks in front are removed, as by urllib"),
    Row("'esdb://localhost:2113'", NOT_SCHEME),
    Row("esdb ://localhost:2113", NOT_SCHEME),
    Row("\u0435sdb://localhost:2113", NOT_SCHEME),
]

HOSTS = [
    Row("esdb://localhost?tls=false", plain()),
    Row("esdb://localhost/?tls=false", plain()),
    Row("esdb://localhost:2114/?tls=false", plain(Host("localhost", 2114))),
    Row("esdb://localhost:1?tls=false", plain(Host("localhost", 1))),
    Row("esdb://localhost:65535?tls=false", plain(Host("localhost", 65535))),
    Row("esdb://localhost:02113?tls=false", plain(), "there, a port keeps its zeros"),
    Row("esdb://localhost", secure(), NO_USER),
    Row("esdb://localhost?", secure(), NO_USER),
    Row("esdb://localhost/", secure(), NO_USER),
    Row("esdb://LocalHost:1?tls=false", plain(Host("localhost", 1)), CASE),
    Row("esdb://node-1.example.org:2113?tls=false", plain(Host("node-1.example.org"))),
    Row("esdb://node_1.internal.?tls=false", plain(Host("node_1.internal."))),
    Row("esdb://127.0.0.1:2113?tls=false", plain(Host("127.0.0.1"))),
    Row("esdb://[::1]:2113?tls=false", plain(Host("::1"))),
    Row("esdb://[::1]?tls=false", plain(Host("::1")), IPV6),
    Row("esdb://[2001:DB8::00:7]:99?tls=false", plain(Host("2001:db8::7", 99)), IPV6),
    Row("esdb://[::10.0.0.1]:1?tls=false", plain(Host("::a00:1", 1)), IPV6),
    Row("esdb://[fe80::1%eth0]:2113?tls=false", plain(Host("fe80::1%eth0"))),
    Row("esdb://[fe80::1%25eth0]:2113?tls=false", plain(Host("fe80::1%eth0")), IPV6),
    Row("esdb://admin:changeit@[::1]:2113", admin(Host("::1"))),
    Row("esdb://" + "n" * 63 + ".org?tls=false", plain(Host("n" * 63 + ".org"))),
    Row("esdb://a,b?tls=false", plain(Host("a"), Host("b"))),
    Row("esdb://a:1,b:2,c:3?tls=false", plain(Host("a", 1), Host("b", 2), Host("c", 3))),
    Row("esdb://admin:changeit@a,b:2,10.0.0.1/?tls=true", admin(Host("a"), Host("b", 2), Host("10.0.0.1"))),
    Row("esdb://[::1]:1,[::2]:2,c?tls=false", plain(Host("::1", 1), Host("::2", 2), Host("c"))),
    Row("esdb://a,a:2113?tls=false", plain(Host("a"), Host("a"))),
    Row("esdb+discover://a,b?tls=false", plain(Host("a"), Host("b"), discover=True), SEEDS),
    Row("esdb+discover://cluster.example.org?tls=false", plain(Host("cluster.example.org"), discover=True)),
    Row("esdb://", NOT_ADDRESS),
    Row("esdb://?tls=false", NOT_ADDRESS),
    Row("esdb:///?tls=false", NOT_ADDRESS),
    Row("esdb://admin:changeit@?tls=false", NOT_ADDRESS),
    Row("esdb://:2113?tls=false", NOT_ADDRESS, UNCHECKED_HOST),
    Row("esdb://a,?tls=false", NOT_ADDRESS, EMPTY_HOST),
    Row("esdb://,a?tls=false", NOT_ADDRESS, EMPTY_HOST),
    Row("esdb://a,,b?tls=false", NOT_ADDRESS, EMPTY_HOST),
    Row("esdb://,?tls=false", NOT_ADDRESS),
    Row("esdb://a, b?tls=false", "the address ' b' is not valid", BLANKS),
    Row("esdb:// localhost?tls=false", NOT_ADDRESS, BLANKS),
    Row("esdb://localhost ?tls=false", NOT_ADDRESS, BLANKS),
    Row("esdb://local host?tls=false", NOT_ADDRESS, UNCHECKED_HOST),
    Row("esdb://local\nhost?tls=false", NOT_ADDRESS, LINE_BREAKS),
    Row("esdb://local\thost?tls=false", NOT_ADDRESS, LINE_BREAKS),
    Row("esdb://a;b?tls=false", NOT_ADDRESS, UNCHECKED_HOST),
    Row("esdb://bücher.example?tls=false", NOT_ADDRESS, UNCHECKED_HOST),
    Row("esdb://node..org?tls=false", NOT_ADDRESS, UNCHECKED_HOST),
    Row("esdb://-node?tls=false", NOT_ADDRESS, UNCHECKED_HOST),
    Row("esdb://node-.org?tls=false", NOT_ADDRESS, UNCHECKED_HOST),
    Row("esdb://node%41?tls=false", NOT_ADDRESS, UNCHECKED_HOST),
    Row("esdb://" + "n" * 64 + "?tls=false", NOT_ADDRESS, UNCHECKED_HOST),
    Row("esdb://" + "n." * 128 + "?tls=false", NOT_ADDRESS, UNCHECKED_HOST),
    Row("esdb://::1?tls=false", ONE_PORT, UNCHECKED_HOST),
    Row("esdb://2001:db8::7?tls=false", ONE_PORT, UNCHECKED_HOST),
    Row("esdb://[::1?tls=false", ONE_PORT),
    Row("esdb://::1]?tls=false", ONE_PORT),
    Row("esdb://[]:2113?tls=false", NOT_ADDRESS),
    Row("esdb://[localhost]:2113?tls=false", NOT_ADDRESS),
    Row("esdb://[127.0.0.1]:2113?tls=false", NOT_ADDRESS),
    Row("esdb://[::g]:2113?tls=false", NOT_ADDRESS),
    Row("esdb://[::1%]:2113?tls=false", NOT_ADDRESS),
    Row("esdb://[fe80::1%a b]:2113?tls=false", NOT_ADDRESS, UNCHECKED_HOST),
    Row("esdb://[fe80::1%25]:2113?tls=false", plain(Host("fe80::1%25"))),
    Row("esdb://[::1]node:2113?tls=false", r"the address '\[::1\]' " + ONE_PORT, UNCHECKED_HOST),
    Row("esdb://node[::1]:2113?tls=false", ONE_PORT, UNCHECKED_HOST),
    Row("esdb://[[::1]]:2113?tls=false", ONE_PORT),
    Row("esdb://localhost:?tls=false", NOT_PORT, UNCHECKED_PORT),
    Row("esdb://localhost:0?tls=false", NOT_PORT, UNCHECKED_PORT),
    Row("esdb://localhost:65536?tls=false", NOT_PORT, UNCHECKED_PORT),
    Row("esdb://localhost:-1?tls=false", NOT_PORT, UNCHECKED_PORT),
    Row("esdb://localhost:+2113?tls=false", NOT_PORT, UNCHECKED_PORT),
    Row("esdb://localhost:2_113?tls=false", NOT_PORT, UNCHECKED_PORT),
    Row("esdb://localhost:2113 ?tls=false", NOT_PORT, BLANKS),
    Row("esdb://localhost:\u0662\u0661?tls=false", NOT_PORT, UNCHECKED_PORT),
    Row("esdb://localhost:port?tls=false", NOT_PORT, UNCHECKED_PORT),
    Row("esdb://localhost:" + "9" * 5000 + "?tls=false", NOT_PORT, UNCHECKED_PORT),
    Row("esdb://localhost:2113:2114?tls=false", "the address 'localhost' " + ONE_PORT, UNCHECKED_PORT),
    Row("esdb://[::1]:?tls=false", NOT_PORT, UNCHECKED_PORT),
    Row("esdb://a:1,b:0?tls=false", "the port of 'b' must be a number", UNCHECKED_PORT),
    Row("esdb://localhost/database?tls=false", NO_PATH, PATH),
    Row("esdb://localhost//?tls=false", NO_PATH, PATH),
    Row("esdb://a/b?tls=false", NO_PATH, PATH),
    Row("esdb://localhost/&tls=false", NO_PATH),
    Row("esdb://localhost&tls=false", NOT_ADDRESS),
    Row("esdb://localhost?tls=false#", NO_FRAGMENT, FRAGMENT),
    Row("esdb://localhost?tls=false#node", NO_FRAGMENT, FRAGMENT),
    Row("esdb://localhost#?tls=false", NO_FRAGMENT),
]

EMBEDDED = [
    Row("esdb://embedded", inside(), INSIDE),
    Row("esdb://Embedded", inside(), INSIDE),
    Row("kurrentdb://embedded/", inside(), INSIDE),
    Row("esdb://embedded?", inside(), INSIDE),
    Row("esdb://embedded?tls=false", inside(), INSIDE),
    Row("esdb://embedded?tlsVerifyCert=false", inside(tls_verify_cert=False), INSIDE),
    Row("esdb://embedded?defaultDeadline=500", inside(default_deadline=0.5), INSIDE),
    Row("esdb://admin:changeit@embedded", inside(credentials=ADMIN), INSIDE),
    Row("esdb://embedded:2113?tls=false", plain(Host("embedded"))),
    Row("esdb://embedded.example.org?tls=false", plain(Host("embedded.example.org"))),
    Row("esdb://embedded,a?tls=false", plain(Host("embedded"), Host("a"))),
    Row("esdb://embedded:?tls=false", NOT_PORT, UNCHECKED_PORT),
    Row("esdb://embedded/x", NO_PATH),
    Row("esdb://embedded?tls=true", "the option tls=true " + INSIDE_ERROR),
    Row("esdb://embedded?tlsCaFile=ca.pem", "the option tlsCaFile " + INSIDE_ERROR),
    Row("esdb://embedded?userCertFile=u.crt&userKeyFile=u.key", "the option userCertFile " + INSIDE_ERROR),
    Row("esdb://embedded?dnsDiscover=true", "the option dnsDiscover=true " + INSIDE_ERROR),
    Row("esdb+discover://embedded", r"\+discover in the scheme " + INSIDE_ERROR),
    Row("esdb://embedded?nodes=3", "the option 'nodes' is not known"),
]

CREDENTIALS = [
    Row("esdb://admin:changeit@localhost?tls=false", plain(credentials=ADMIN)),
    Row("esdb://admin:change:it@localhost", secure(credentials=BasicCredentials("admin", "change:it"))),
    Row("esdb://admin::@localhost", secure(credentials=BasicCredentials("admin", ":"))),
    Row("esdb://admin:p%40ss@localhost", secure(credentials=BasicCredentials("admin", "p@ss")), ENCODED),
    Row("esdb://admin:%2f%3F%23%25%2B@localhost", secure(credentials=BasicCredentials("admin", "/?#%+")), ENCODED),
    Row("esdb://admin:%70w@localhost", secure(credentials=BasicCredentials("admin", "pw")), ENCODED),
    Row("esdb://j%C3%BCrgen:pw@localhost", secure(credentials=BasicCredentials("jürgen", "pw")), ENCODED),
    Row("esdb://jürgen:wörd@localhost", secure(credentials=BasicCredentials("jürgen", "wörd"))),
    Row("esdb://a%40b.org:pw@localhost", secure(credentials=BasicCredentials("a@b.org", "pw")), ENCODED),
    Row("esdb://admin:a+b@localhost", secure(credentials=BasicCredentials("admin", "a+b"))),
    Row("esdb://admin:a,b;c=d&e@localhost", secure(credentials=BasicCredentials("admin", "a,b;c=d&e"))),
    Row("esdb://admin:a%20b@localhost", secure(credentials=BasicCredentials("admin", "a b")), ENCODED),
    Row("esdb://admin:a b@localhost", secure(credentials=BasicCredentials("admin", "a b"))),
    Row("esdb://admin@localhost", "a user name must be followed by ':' and a password"),
    Row("esdb://admin@localhost?tls=false", "a user name must be followed by ':' and a password", NO_PASSWORD),
    Row("esdb://admin:@localhost", "uri: password must not be empty"),
    Row("esdb://:changeit@localhost", "uri: username must not be empty"),
    Row("esdb://:@localhost", "uri: username must not be empty"),
    Row("esdb://@localhost", "a user name must be followed by ':' and a password"),
    Row("esdb://ad%3Amin:changeit@localhost", "uri: username must not contain ':'", BAD_USER),
    Row("esdb://admin:change%0Ait@localhost", "uri: password must not contain control characters", BAD_USER),
    Row("esdb://ad%00min:changeit@localhost", "uri: username must not contain control characters", BAD_USER),
    Row("esdb://admin:change%it@localhost", "the password " + NO_DIGITS, BAD_ESCAPE),
    Row("esdb://admin:changeit%@localhost", "the password " + NO_DIGITS, BAD_ESCAPE),
    Row("esdb://ad%4:changeit@localhost", "the user name " + NO_DIGITS, BAD_ESCAPE),
    Row("esdb://admin:%FF@localhost", "the password " + NOT_UTF8_ERROR, ENCODED),
    Row("esdb://%C3:changeit@localhost", "the user name " + NOT_UTF8_ERROR, ENCODED),
    Row("esdb://admin:change@it@localhost", "there must be one '@', in front of the address; " + ENCODE, FIRST_AT),
    Row("esdb://ad@min:changeit@localhost", "there must be one '@', in front of the address; " + ENCODE, FIRST_AT),
    Row("esdb://admin:change/it@localhost", ENCODE),
    Row("esdb://admin:change?it@localhost", ENCODE),
    Row("esdb://admin:change#it@localhost", ENCODE),
    Row("esdb://admin:12/34@localhost?tls=false", ENCODE, PATH),
    Row("esdb://admin:12?34@localhost?tls=false", ENCODE),
    Row("esdb://admin:12#34@localhost?tls=false", ENCODE),
    Row("esdb://admin:ch@nge/it@localhost", ENCODE, FIRST_AT),
    Row("esdb://admin:chang?tls=geit@localhost", ENCODE),
    Row("esdb://admin:12?connectionName=34@localhost?tls=false", ENCODE),
    Row("esdb://admin:changeit", "the port of 'admin' must be a number"),
    Row("esdb://admin:changeit@localhost:port", "the port of 'localhost' must be a number", UNCHECKED_PORT),
    Row("esdb://localhost?tls=false&user=admin:changeit", "the option 'user' is not known; the options are tls,"),
    Row("esdb://localhost?tls=false&password=changeit", "the option 'password' is not known; the options are tls,"),
    Row("esdb://localhost?tls=false&admin:changeit@", "there is an option that is not known", EMPTY_VALUE),
]

TLS = [
    Row("esdb://admin:changeit@localhost?tls=true", admin()),
    Row("esdb://admin:changeit@localhost?TLS=True", admin()),
    Row("esdb://localhost?Tls=FALSE", plain()),
    Row("esdb://localhost?tls=%66alse", plain()),
    Row("esdb://localhost?tls=no", "the option tls must be true or false, not 'no'"),
    Row("esdb://localhost?tls=0", "the option tls must be true or false, not '0'"),
    Row("esdb://localhost?tls=false ", "the option tls must be true or false, not 'false '"),
    Row("esdb://localhost?tls=%20false", "the option tls must be true or false, not ' false'"),
    Row("esdb://localhost?tls=false\n", "the option tls must be true or false", LINE_BREAKS),
    Row("esdb://localhost?tls=false=true", "the option tls must be true or false, not 'false=true'"),
    Row("esdb://admin:changeit@localhost?tls", "the option tls has no value; it must be true or false", EMPTY_VALUE),
    Row("esdb://admin:changeit@localhost?tls=", "the option tls is empty; it must be true or false", EMPTY_VALUE),
    Row("esdb://localhost?tls=false&tls=false", "the option tls is given twice, as 'false' and as 'false'", REPEATED),
    Row("esdb://localhost?tls=false&Tls=true", "the option tls is given twice, as 'false' and as 'true'"),
    Row("esdb://localhost?tls=true&TLS=false", "the option tls is given twice", REPEATED),
    Row("esdb://admin:changeit@localhost?tlsVerifyCert=false", admin(tls_verify_cert=False)),
    Row("esdb://localhost?tls=false&tlsVerifyCert=false", plain(tls_verify_cert=False)),
    Row("esdb://admin:changeit@localhost?tlsverifycert=TRUE", admin()),
    Row("esdb://localhost?tlsVerifyCert=off", "the option tlsVerifyCert must be true or false, not 'off'"),
    Row("esdb://admin:changeit@localhost?tlsCaFile=/etc/ca.crt", admin(tls_ca_file="/etc/ca.crt")),
    Row("esdb://admin:changeit@localhost?tlsCaFile=C:\\ca.crt", admin(tls_ca_file="C:\\ca.crt")),
    Row("esdb://admin:changeit@localhost?tlsCaFile=my%20ca.crt", admin(tls_ca_file="my ca.crt")),
    Row("esdb://admin:changeit@localhost?tlsCaFile=a+b.crt", admin(tls_ca_file="a+b.crt"), PLUS),
    Row("esdb://admin:changeit@localhost?tlsCaFile=a%2Bb.crt", admin(tls_ca_file="a+b.crt")),
    Row("esdb://admin:changeit@localhost?tlsCaFile=a=b=c", admin(tls_ca_file="a=b=c")),
    Row("esdb://admin:changeit@localhost?tlsCaFile=%C3%BC@x,y;z", admin(tls_ca_file="ü@x,y;z")),
    Row(
        "esdb://admin:changeit@localhost?tlsCaFile=", "the option tlsCaFile is empty; it must be the path", EMPTY_VALUE
    ),
    Row(
        "esdb://admin:changeit@localhost?tlsCaFile=a%00b",
        "the option tlsCaFile must be the path of a PEM file",
        USELESS,
    ),
    Row("esdb://admin:changeit@localhost?tlsCaFile=%FF", "the option tlsCaFile " + NOT_UTF8_ERROR, NOT_UTF8),
    Row("esdb://admin:changeit@localhost?tlsCaFile=100%", "the option tlsCaFile " + NO_DIGITS, BAD_ESCAPE),
    Row("esdb://admin:changeit@localhost?tlsCaFile=%zz", "the option tlsCaFile " + NO_DIGITS, BAD_ESCAPE),
    Row("esdb://localhost?tls=false&tlsCaFile=ca.pem", "the option tlsCaFile contradicts tls=false", NO_CERTIFICATES),
    Row("esdb://localhost?tlsCaFile=ca.pem&tls=false", "the option tlsCaFile contradicts tls=false", NO_CERTIFICATES),
    Row(
        "esdb://localhost?userCertFile=u.crt&userKeyFile=u.key",
        secure(user_cert_file="u.crt", user_key_file="u.key"),
        NO_USER,
    ),
    Row("esdb://admin:changeit@localhost?userKeyFile=k&userCertFile=c", admin(user_cert_file="c", user_key_file="k")),
    Row("esdb://admin:changeit@localhost?userCertFile=c", "the option userCertFile needs userKeyFile", PAIR),
    Row("esdb://admin:changeit@localhost?userKeyFile=k", "the option userKeyFile needs userCertFile", PAIR),
    Row(
        "esdb://localhost?tls=false&userCertFile=c&userKeyFile=k", "userCertFile contradicts tls=false", NO_CERTIFICATES
    ),
    Row("esdb://localhost?tls=false&userKeyFile=k", "the option userKeyFile contradicts tls=false", NO_CERTIFICATES),
]

OTHERS = [
    Row("esdb://localhost?tls=false&connectionName=orders-1", plain(connection_name="orders-1")),
    Row("esdb://localhost?tls=false&ConnectionName=a%26b%3Dc%20d", plain(connection_name="a&b=c d")),
    Row("esdb://localhost?tls=false&connectionName=me@home", plain(connection_name="me@home")),
    Row("esdb://admin:changeit@localhost?connectionName=me@home", admin(connection_name="me@home")),
    Row("esdb://localhost?tls=false&connectionName=" + "n" * 200, plain(connection_name="n" * 200)),
    Row(
        "esdb://localhost?tls=false&connectionName=" + "n" * 201,
        "connectionName must be 1 to 200 printable ASCII",
        USELESS,
    ),
    Row(
        "esdb://localhost?tls=false&connectionName=caf%C3%A9",
        "connectionName must be 1 to 200 printable ASCII",
        USELESS,
    ),
    Row("esdb://localhost?tls=false&connectionName=a%0Ab", "connectionName must be 1 to 200 printable ASCII", USELESS),
    Row(
        "esdb://localhost?tls=false&connectionName=%20a",
        "ASCII characters, without blanks around them, not ' a'",
        USELESS,
    ),
    Row("esdb://localhost?tls=false&connectionName=a%", "the option connectionName " + NO_DIGITS, BAD_ESCAPE),
    Row("esdb://localhost?tls=false&connectionName=a?b", ONE_QUESTION, SECOND_QUESTION),
    Row("esdb://localhost?tls=false?connectionName=b", ONE_QUESTION),
    Row("esdb://localhost?tls=false&connectionName=a%3Fb%23", plain(connection_name="a?b#")),
    Row("esdb://localhost?tls=false&defaultDeadline=10000", plain(), MILLISECONDS),
    Row("esdb://localhost?tls=false&defaultDeadline=100", plain(default_deadline=0.1), MILLISECONDS),
    Row("esdb://localhost?tls=false&defaultDeadline=-1", plain(default_deadline=math.inf), OFF),
    Row(
        "esdb://localhost?tls=false&defaultDeadline=99",
        "defaultDeadline is in milliseconds .kurrentdbclient",
        MILLISECONDS,
    ),
    Row("esdb://localhost?tls=false&defaultDeadline=1", DEADLINE + " '1': defaultDeadline is in mill", MILLISECONDS),
    Row("esdb://localhost?tls=false&defaultDeadline=0", DEADLINE + " '0'$", RANGE),
    Row("esdb://localhost?tls=false&defaultDeadline=-2", DEADLINE + " '-2'$", RANGE),
    Row("esdb://localhost?tls=false&defaultDeadline=2147483648", DEADLINE, RANGE),
    Row("esdb://localhost?tls=false&defaultDeadline=1e4", DEADLINE),
    Row("esdb://localhost?tls=false&defaultDeadline=1.5", DEADLINE),
    Row("esdb://localhost?tls=false&keepAliveInterval=10000", plain()),
    Row("esdb://localhost?tls=false&keepAliveInterval=1", plain(keep_alive_interval=0.001)),
    Row("esdb://localhost?tls=false&keepAliveInterval=-1", plain(keep_alive_interval=math.inf), OFF),
    Row("esdb://localhost?tls=false&keepAliveInterval=0", "keepAliveInterval " + KEEP_ALIVE + " never, not '0'", RANGE),
    Row("esdb://localhost?tls=false&keepAliveInterval=-5", "keepAliveInterval " + KEEP_ALIVE, RANGE),
    Row("esdb://localhost?tls=false&keepAliveInterval=10s", "keepAliveInterval " + KEEP_ALIVE + " never, not '10s'"),
    Row("esdb://localhost?tls=false&keepAliveTimeout=2500", plain(keep_alive_timeout=2.5)),
    Row("esdb://localhost?tls=false&keepAliveTimeout=-1", plain(keep_alive_timeout=math.inf), OFF),
    Row(
        "esdb://localhost?tls=false&keepAliveTimeout=%2B5", "keepAliveTimeout " + KEEP_ALIVE + " no limit, not", NUMBER
    ),
    Row("esdb://localhost?tls=false&keepAliveTimeout=1_0", "keepAliveTimeout " + KEEP_ALIVE, NUMBER),
    Row("esdb://localhost?tls=false&keepAliveTimeout=\u0665", "keepAliveTimeout " + KEEP_ALIVE, NUMBER),
    Row("esdb://localhost?tls=false&keepAliveTimeout=%205", "keepAliveTimeout " + KEEP_ALIVE, NUMBER),
    Row("esdb://localhost?tls=false&keepAliveTimeout=" + "9" * 5000, "keepAliveTimeout " + KEEP_ALIVE),
    Row("esdb://localhost?tls=false&nodePreference=leader", plain()),
    Row("esdb://localhost?tls=false&nodePreference=Follower", plain(node_preference="follower")),
    Row("esdb://localhost?tls=false&nodePreference=RANDOM", plain(node_preference="random")),
    Row("esdb://localhost?tls=false&nodePreference=readOnlyReplica", plain(node_preference="readOnlyReplica")),
    Row(
        "esdb://localhost?tls=false&nodePreference=read-only-replica",
        plain(node_preference="readOnlyReplica"),
        PREFERENCE,
    ),
    Row(
        "esdb://localhost?tls=false&nodePreference=Read_Only_Replica",
        plain(node_preference="readOnlyReplica"),
        PREFERENCE,
    ),
    Row(
        "esdb://localhost?tls=false&nodePreference=master",
        "must be leader, follower, random or readOnlyReplica, not 'm",
    ),
    Row("esdb://localhost?tls=false&nodePreference=", "the option nodePreference is empty", EMPTY_VALUE),
    Row("esdb://localhost?tls=false&maxDiscoverAttempts=3", plain(max_discover_attempts=3)),
    Row(
        "esdb://localhost?tls=false&maxDiscoverAttempts=0",
        "must be a whole number from 1 to 2147483647, not '0'",
        RANGE,
    ),
    Row(
        "esdb://localhost?tls=false&maxDiscoverAttempts=-1",
        "must be a whole number from 1 to 2147483647, not '-1'",
        RANGE,
    ),
    Row(
        "esdb://localhost?tls=false&maxDiscoverAttempts=many", "must be a whole number from 1 to 2147483647, not 'many'"
    ),
    Row("esdb://localhost?tls=false&discoveryInterval=500", plain(discovery_interval=0.5)),
    Row("esdb://localhost?tls=false&discoveryInterval=0", plain(discovery_interval=0.0)),
    Row("esdb://localhost?tls=false&discoveryInterval=-1", "must be a whole number of milliseconds from 0 to", RANGE),
    Row("esdb://localhost?tls=false&discoveryInterval=0.5", "must be a whole number of milliseconds from 0 to"),
    Row("esdb://localhost?tls=false&gossipTimeout=5", plain()),
    Row("esdb://localhost?tls=false&gossipTimeout=99", plain(gossip_timeout=99.0)),
    Row("esdb://localhost?tls=false&gossipTimeout=0.25", plain(gossip_timeout=0.25), DECIMAL),
    Row("esdb://localhost?tls=false&gossipTimeout=99.99", plain(gossip_timeout=99.99), DECIMAL),
    Row("esdb://localhost?tls=false&gossipTimeout=100", "gossipTimeout is in seconds .the .NET, Java and Rust", RANGE),
    Row("esdb://localhost?tls=false&gossipTimeout=5000", SECONDS + " '5000': gossipTimeout is in seconds", RANGE),
    Row("esdb://localhost?tls=false&gossipTimeout=0", SECONDS + " '0'$", RANGE),
    Row("esdb://localhost?tls=false&gossipTimeout=0.0", SECONDS),
    Row("esdb://localhost?tls=false&gossipTimeout=-1", SECONDS, RANGE),
    Row("esdb://localhost?tls=false&gossipTimeout=.5", SECONDS),
    Row("esdb://localhost?tls=false&gossipTimeout=nan", SECONDS),
    Row("esdb://localhost?tls=false&gossipTimeout=1_0", SECONDS, NUMBER),
    Row("esdb://localhost?tls=false&throwOnAppendFailure=true", plain(), UNUSED),
    Row("esdb://localhost?tls=false&throwOnAppendFailure=false", "always raises ExpectedPositionError"),
    Row("esdb://localhost?tls=false&throwOnAppendFailure=maybe", "throwOnAppendFailure must be true, not 'maybe'$"),
    Row("esdb://localhost?tls=false&feature=dns-lookup", plain(), UNUSED),
    Row("esdb://localhost?tls=false&feature=DNS-Lookup", plain(), UNUSED),
    Row("esdb://localhost?tls=false&feature=magic", "the option feature must be dns-lookup, not 'magic'"),
    Row("esdb://localhost?tls=false&dnsDiscover=true", plain(discover=True), DNS_DISCOVER),
    Row("esdb://localhost?tls=false&dnsDiscover=false", plain(), DNS_DISCOVER),
    Row("esdb+discover://localhost?tls=false&dnsDiscover=true", plain(discover=True), DNS_DISCOVER),
    Row(
        "esdb+discover://localhost?tls=false&dnsDiscover=false",
        r"dnsDiscover=false contradicts \+discover in the scheme",
    ),
    Row("esdb://localhost?tls=false&dnsDiscover=yes", "the option dnsDiscover must be true or false, not 'yes'"),
    Row(
        "esdb://localhost?tls=false&tlss=true", r"'tlss', given as 'true', is not known \(did you mean tls\?\); the opt"
    ),
    Row(
        "esdb://localhost?tls=false&keepAliveIntervall=5",
        r"given as '5', is not known \(did you mean keepAliveInterval\?",
    ),
    Row(
        "esdb://localhost?tls=false&keep-alive-timeout=5",
        r"given as '5', is not known \(did you mean keepAliveTimeout\?",
    ),
    Row(
        "esdb://localhost?tls=false&node_preference=leader", r"'node_preference', .* \(did you mean nodePreference\?\)"
    ),
    Row("esdb://localhost?tls=false&timeout=5", r"'timeout' is not known .did you mean gossipTimeout"),
    Row("esdb://localhost?tls=false&xyz=1", "the option 'xyz' is not known; the options are tls, tlsVerifyCert,"),
    Row(
        "esdb://localhost?tls=false&xyz",
        "the option 'xyz' is not known; the options are tls, tlsVerifyCert,",
        EMPTY_VALUE,
    ),
    Row("esdb://localhost?tls%3Dfalse", "the option 'tls%3Dfalse' is not known"),
    Row("esdb://localhost?tls =false", r"the option 'tls ', given as 'false', is not known \(did you mean tls\?\)"),
    Row("esdb://localhost?=false", "there is an option that is not known"),
    Row("esdb://localhost?&tls=false", BOTH_SIDES, EMPTY_VALUE),
    Row("esdb://localhost?tls=false&", BOTH_SIDES, EMPTY_VALUE),
    Row("esdb://localhost?tls=false&&connectionName=a", BOTH_SIDES, EMPTY_VALUE),
    Row(
        "esdb://localhost?tls=false;connectionName=a",
        "the option tls must be true or false, not 'false;connectionName=a'",
    ),
]

ROWS = [*SCHEMES, *HOSTS, *EMBEDDED, *CREDENTIALS, *TLS, *OTHERS]
