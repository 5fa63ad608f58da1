/* Made by make_templates.py; see there. */

static const char golden_variables[] =
     "{\"a\": 3, \"b\": -7, \"f\": 0.5, \"s\": \" Hello, W\\u00f6rld\\n\", \"e\": \"\", \"n"
     "\": null, \"t\": true, \"l\": [1, \"two\", null, {\"k\": \"v\"}], \"d\": {\"role\": \""
     "user\", \"content\": \"x'y\\\"z\", \"n\": {\"m\": [1, 2]}}, \"messages\": [{\"role\":"
     " \"system\", \"content\": \" sys \"}, {\"role\": \"user\", \"content\": \"hi\\n\"}, {"
     "\"role\": \"assistant\", \"content\": \"yo\"}]}";

/* template, text or NULL where Jinja refuses it */
static const char *const golden_expressions[][2] = {
    {"{{ a + b }} {{ a - b }} {{ a * b }} {{ a / 2 }} {{ b // 2 }} {{ b % 3 }} {{ -b % 4 }}"
     " {{ 2 ** 5 }} {{ f * 2 }} {{ 1/3 }}",
     "-4 10 -21 1.5 -4 2 3 32 1.0 0.3333333333333333"},
    {"{{ 10/2 }} {{ 100000000000000000.0 * 10 }} {{ 0.00001 }} {{ 123456.789 }} {{ 1.0 }} {"
     "{ 0.1+0.2 }}",
     "5.0 1e+18 1e-05 123456.789 1.0 0.30000000000000004"},
    {"{{ s|trim }}|{{ s.strip() }}|{{ s|upper }}|{{ s.lower() }}|{{ s|length }}|{{ s|title "
     "}}|{{ s|capitalize }}",
     "Hello, W\303\266rld|Hello, W\303\266rld| HELLO, W\303\226RLD\n"
     "| hello, w\303\266rld\n|14| Hello, W\303\266rld\n"
     "| hello, w\303\266rld\n"},
    {"{{ l }} {{ d }} {{ t }} {{ n }} {{ (1,) }} {{ () }} {{ (1,'a') }} {{ [] }} {{ {} }}",
     "[1, 'two', None, {'k': 'v'}] {'role': 'user', 'content': 'x\\'y\"z', 'n': {'m': [1, 2"
     "]}} True None (1,) () (1, 'a') [] {}"},
    {"{{ l|tojson }} {{ d|tojson }} {{ d|tojson(indent=2) }} {{ []|tojson(indent=4) }} {{ s"
     "|tojson }}",
     "[1, \"two\", null, {\"k\": \"v\"}] {\"role\": \"user\", \"content\": \"x'y\\\"z\", \""
     "n\": {\"m\": [1, 2]}} {\n  \"role\": \"user\",\n"
     "  \"content\": \"x'y\\\"z\",\n  \"n\": {\n"
     "    \"m\": [\n      1,\n      2\n    ]\n  }\n"
     "} [] \" Hello, W\303\266rld\\n\""},
    {"{{ l[0] }} {{ l[-1].k }} {{ l[9] }} {{ d['role'] }} {{ d.role }} {{ d.nope }} {{ d.n."
     "m[1] }} {{ d.get('x', 5) }} {{ d.get('x') }}",
     "1 v  user user  2 5 None"},
    {"{{ nope }}|{{ nope is defined }}|{{ nope is not defined }}|{{ not nope }}|{{ nope or "
     "'z' }}|{{ nope == nope2 }}",
     "|False|True|True|z|True"},
    {"{{ nope.x }}",
     NULL},
    {"{{ nope + 1 }}",
     NULL},
    {"{{ n + 'x' }}",
     NULL},
    {"{{ s[1:4] }}|{{ s[::-1] }}|{{ s[-3:] }}|{{ s[:2] }}|{{ l[1:] }}|{{ l[::-2] }}|{{ l[5:"
     "1] }}|{{ s[100:] }}|{{ l[-100:2] }}",
     "Hel|\ndlr\303\266W ,olleH |ld\n| H|['two', None, {'k': 'v'}]|[{'k': 'v'}, 'two']|[]||"
     "[1, 'two']"},
    {"{{ 1 < 2 < 3 }} {{ 1 < 2 > 3 }} {{ 1 == 1.0 }} {{ True == 1 }} {{ 'a' < 'b' }} {{ 'a'"
     " in 'cab' }} {{ 3 not in [1,2] }} {{ 'role' in d }}",
     "True False True True True True True True"},
    {"{{ 'a' 'b' }} {{ \"x\\ny\\t\\u00e9\\x41\\\\ \\q \\'\" }} {{ 'it''s' }} {{ \"\\101\\60"
     "\" }}",
     "ab x\ny\t\303\251A\\ \\q ' its A0"},
    {"{{ 'x' ~ 1 ~ none ~ true }} {{ 'a' if a else 'b' }} {{ 'a' if e }}| {{ ('a' if e else"
     " 'b') ~ 'c' }}",
     "x1NoneTrue a | bc"},
    {"{% for x in l %}{{ loop.index }}{{ loop.index0 }}{{ loop.first }}{{ loop.last }}{{ lo"
     "op.length }}{{ loop.revindex }} {{ x }}{% if not loop.last %}, {% endif %}{% endfor %"
     "}",
     "10TrueFalse44 1, 21FalseFalse43 two, 32FalseFalse42 None, 43FalseTrue41 {'k': 'v'}"},
    {"{% for m in messages if m.role != 'system' %}{{ loop.index }}{{ m.role }}{{ loop.prev"
     "item.role if loop.previtem is defined }}{{ loop.nextitem is defined }}{% else %}none{"
     "% endfor %}",
     "1userTrue2assistantuserFalse"},
    {"{% for x in [] %}a{% else %}none{% endfor %}{% for x in nope %}q{% endfor %}",
     "none"},
    {"{% for k, v in d.items() %}{{ k }}={{ v }};{% endfor %}{% for k in d %}{{ k }}{% endf"
     "or %}{% for c in 'a\303\261b' %}[{{ c }}]{% endfor %}",
     "role=user;content=x'y\"z;n={'m': [1, 2]};rolecontentn[a][\303\261][b]"},
    {"{% set x = 1 %}{% for i in range(3) %}{% set x = x + i %}{{ x }}{% endfor %}{{ x }}",
     "1231"},
    {"{% set ns = namespace(x=1, found=false) %}{% for i in range(1, 10, 3) %}{% set ns.x ="
     " ns.x + i %}{% endfor %}{{ ns.x }} {{ ns.found }}",
     "13 False"},
    {"{% set a, b = 1, 2 %}{{ a }}{{ b }}{% set c %}hi {{ a }}{% endset %}{{ c }}{{ c|lengt"
     "h }}",
     "12hi 14"},
    {"{% macro m(x, y='d') %}[{{ x }}{{ y }}]{% endmacro %}{{ m(1) }}{{ m(1, 2) }}{{ m(y=3,"
     " x=4) }}{{ m() }}",
     "[1d][12][43][d]"},
    {"{% macro r(n) %}{{ n }}{% if n > 0 %}{{ r(n-1) }}{% endif %}{% endmacro %}{{ r(5) }}",
     "543210"},
    {"{% macro r(n) %}{{ r(n+1) }}{% endmacro %}{{ r(5) }}",
     NULL},
    {"{% for i in range(10) %}{% if i == 3 %}{% continue %}{% endif %}{% if i == 6 %}{% bre"
     "ak %}{% endif %}{{ i }}{% endfor %}",
     "01245"},
    {"{{ raise_exception('no: ' ~ a) }}",
     NULL},
    {"{{ messages|map(attribute='role')|join(', ') }} {{ l|map('string')|list }} {{ message"
     "s|selectattr('role','equalto','user')|list|length }} {{ messages|rejectattr('role','i"
     "n',['user'])|map(attribute='content')|join('|') }}",
     "system, user, assistant ['1', 'two', 'None', \"{'k': 'v'}\"] 1  sys |yo"},
    {"{{ [1,0,2]|select|list }} {{ [1,2,3]|select('odd')|list }} {{ [1,2,3]|reject('divisib"
     "leby', 2)|list }}",
     "[1, 2] [1, 3] [1, 3]"},
    {"{{ messages|first }} {{ (messages|last).content }} {{ []|first }} {{ 'abc'|first }} {"
     "{ l|reverse|list }} {{ 'abc'|reverse }}",
     "{'role': 'system', 'content': ' sys '} yo  a [{'k': 'v'}, None, 'two', 1] cba"},
    {"{{ x|default('q') }} {{ e|default('q') }} {{ e|default('q', true) }} {{ n|d('z') }} {"
     "{ n|default('z', boolean=True) }}",
     "q  q None z"},
    {"{{ 'a,b,,c'.split(',') }} {{ ' a  b '.split() }} {{ 'a,b,c'.split(',', 1) }} {{ ' a  "
     "b c'.split(none, 1) }} {{ ''.split(',') }} {{ ''.split() }} {{ 'a</think>b'.split('</"
     "think>')[-1].lstrip('\\n') }}",
     "['a', 'b', '', 'c'] ['a', 'b'] ['a', 'b,c'] ['a', 'b c'] [''] [] b"},
    {"{{ 'abcabc'.replace('b','XX') }} {{ 'abcabc'|replace('b','', 1) }} {{ 'xxabxx'.strip("
     "'x') }} {{ '\303\251 \303\251'.strip('\303\251') }} {{ 'abc'.startswith('ab') }} {{ '"
     "abc'.endswith(('x','c')) }} {{ 'a\303\261b'.find('b') }} {{ 'aXbX'.count('X') }}",
     "aXXcaXXc acabc ab   True True 2 2"},
    {"{{ 'a\\nb\\n'.splitlines() }} {{ '-'.join(['a','b']) }} {{ 'x' * 3 }} {{ [1] + [2] }}",
     "['a', 'b'] a-b xxx [1, 2]"},
    {"{{ 5 is odd }} {{ 4 is even }} {{ 9 is divisibleby 3 }} {{ 9 is divisibleby(3) }} {{ "
     "d is mapping }} {{ s is string }} {{ l is iterable }} {{ l is sequence }} {{ 1 is num"
     "ber }} {{ true is boolean }} {{ 1 is integer }} {{ 1.0 is float }} {{ true is true }}"
     " {{ 1 is true }} {{ none is none }} {{ 1 is eq 1 }} {{ 1 is in [1] }} {{ s is not non"
     "e and s is defined }}",
     "True True True True True True True True True True True True True False True True True"
     " True"},
    {"{{ not a is defined }} {{ -a|string }} {{ - a * 2 }} {{ 2 + 3 * 4 - 1 }} {{ (2 + 3) *"
     " 4 }} {{ 'a' ~ 'b' == 'ab' }}",
     "False -3 -6 13 20 True"},
    {"{{ 1 ~ 2 + 3 }}",
     NULL},
    {"{{ l is nosuch }}",
     NULL},
    {"{{ l | nosuch }}",
     NULL},
    {"{% include 'x' %}",
     NULL},
    {"{% if a %}",
     NULL},
    {"{% if a == 1 %}1{% elif a == 3 %}three{% else %}x{% endif %}{% if e %}1{% elif n %}2{"
     "% else %}3{% endif %}{% if e %}1{% elif t %}{% if e %}a{% else %}b{% endif %}{% else "
     "%}3{% endif %}",
     "three3b"},
    {"{% if e %}1{% else %}{% if t %}2{% endif %}{% if t %}3{% endif %}{% endif %}",
     "23"},
    {"{{ {'a': 1, 'b': [1,2], 'a': 3} }} {{ {'x': {}}['x'] }} {{ {'a':{'b':1}}.a.b }}",
     "{'a': 3, 'b': [1, 2]} {} 1"},
    {"{{ 1, 2 }} {{ \"}}\" }} {{ '{%' }}",
     "(1, 2) }} {%"},
    {"{{ '12'|int + 1 }} {{ 'x'|int }} {{ 'x'|int(7) }} {{ 3.7|int }} {{ ' -5 '|int }}",
     "13 0 7 3 -5"},
    {"{{ dict(a=1, b=2) }} {{ namespace is defined }}",
     "{'a': 1, 'b': 2} True"},
    {"{{ a.b.c }}",
     NULL},
    {"{{ a.b }}|{{ 'abc'[1] }}|{{ 'abc'[-1] }}|{{ 'abc'[5] }}|{{ l['x'] }}|{{ 5[0] }}",
     "|b|c|||"},
    {"{{ 'A'~{'a':'q'}.a|upper }} {{ ('a'~'b')|upper }} {{ 'a'~'b'|upper }}",
     "AQ AB aB"},
    {"{% set message = messages[0] %}{{ message['content'] | trim + 'x' }}",
     "sysx"},
    {"{{ 7 // 2 * 2 ** 2 }} {{ 2 ** 3 ** 2 }} {{ 7.5 // 2 }} {{ 1 if a > 2 and b < 0 or fal"
     "se else 2 }}",
     "12 64 3.0 1"},
    {"{{ (a, b) == (3, -7) }} {{ [1] == (1,) }} {{ d == d }} {{ {'a':1} == {'a':1.0} }}",
     "True False True True"},
    {"{% generation %}x{% endgeneration %}",
     "x"},
    {"{{ }}",
     NULL},
    {"{{ a",
     NULL},
    {"{# unclosed",
     NULL},
    {"{% for x in l %}",
     NULL},
    {"{{ 'unclosed }}",
     NULL},
    {"{{ a ! b }}",
     NULL},
    {"{{ (a }}",
     NULL},
    {"{{ a) }}",
     NULL},
    {"{{ \"\\x4\" }}",
     NULL},
    {"{% set d.role = 1 %}",
     NULL},
    {"{% break %}",
     NULL},
    {"{{ [1,2,3].append(4) }}",
     NULL},
    {"{{ loop.index }}",
     NULL},
    {"{{ range(200000)|length }}",
     NULL},
    {"{{ 1 // 0 }}",
     NULL},
    {"{{ 5|length }}",
     NULL},
    {"{{ 'a'.upper().lower() }}{{ ['x','y'][1].upper() }}{{ (s|trim).split(', ')[1] }}",
     "aYW\303\266rld"},
    {"{{ true and 'x' }} {{ '' or [] or 'last' }} {{ none == false }} {{ 0 == false }} {{ n"
     "ot '' }}",
     "x last False True True"},
    {"{% for x in [[1,2],[3,4]] %}{% for y in x %}{{ loop.index }}:{{ y }} {{ loop.depth }}"
     "{% endfor %}{{ loop.index }};{% endfor %}",
     "1:1 12:2 11;1:3 12:4 12;"},
    {"{% for x in [1,2] %}{% macro q() %}{{ x }}{% endmacro %}{{ q() }}{% endfor %}",
     "12"},
    {"{%- for x in (1,2,3) -%} {{- x -}} {%- endfor -%}",
     "123"},
    {"{{ loop is defined }} {{ raise_exception is defined }} {{ strftime_now is defined }}",
     "False True False"},
    {"{% for x in l %}{{ loop.revindex0 }}{{ loop.depth0 }}{{ loop.previtem is defined }}{{"
     " loop == loop }}{{ loop is iterable }}{% endfor %}",
     "30FalseTrueTrue20TrueTrueTrue10TrueTrueTrue00TrueTrueTrue"},
    {"{{ nope[1] }}",
     NULL},
    {"{{ {1:2}[1] }} {{ {1:2}[3] is defined }} {{ {1:2, 2.5:3, true:4}|length }} {{ 1 in {1"
     ":2} }} {{ 'a' in nope }} {{ d[1] is defined }}",
     "2 False 2 True False False"},
    {"{{ s['a':] }}",
     NULL},
    {"{{ s[::0] }}",
     NULL},
    {"{{ l[3:0:-1] }} {{ l[-1:-100:-1] }} {{ l[100:0:-2] }} {{ l[-100::-1] }} {{ s[0:100:3]"
     " }} {{ (1,2,3)[1:] }} {{ ''[::-1] }}",
     "[{'k': 'v'}, None, 'two'] [{'k': 'v'}, None, 'two', 1] [{'k': 'v'}, 'two'] []  l,\303"
     "\266d (2, 3) "},
    {"{{ s|trim(foo=1) }}",
     NULL},
    {"{{ 'a'.replace('a','b',old='c') }}",
     NULL},
    {"{{ s|replace('a') }}",
     NULL},
    {"{{ 'a'.split(1) }}",
     NULL},
    {"{{ 'a'.split(',', 'x') }}",
     NULL},
    {"{{ 'a'.split('') }}",
     NULL},
    {"{{ 'a'.replace(1, 'b') }}",
     NULL},
    {"{{ 'a'.replace('a', 1) }}",
     NULL},
    {"{{ 'a'.replace('a', 'b', 'c') }}",
     NULL},
    {"{{ 'a'.strip(1) }}",
     NULL},
    {"{{ 'a'.startswith(1) }}",
     NULL},
    {"{{ 'a'.startswith('abc') }}{{ 'a'.endswith('') }}{{ ''.startswith('') }}",
     "FalseTrueTrue"},
    {"{{ 'a'.find(1) }}",
     NULL},
    {"{{ 'a'.count(1) }}",
     NULL},
    {"{{ 'abc'.find('x') }}{{ ''.find('x') }}{{ ''.find('') }}{{ 'abc'.find('') }}{{ 'aaaa'"
     ".count('aa') }}{{ ''.count('a') }}",
     "-1-10020"},
    {"{{ 'a\\nb'.splitlines() }}{{ ''.splitlines() }}{{ 'x'.strip(none) }}{{ '-'.join([]) }"
     "}{{ '-'.join('abc') }}",
     "['a', 'b'][]xa-b-c"},
    {"{{ 'a b c d e f g h i j k l m n o p q r s t'.split() }}{{ 'a,b,c,d,e,f,g,h,i,j'.split"
     "(',') }}{{ ' a b '.split(none, 0) }}{{ ' a '.split(none, 5) }}",
     "['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i', 'j', 'k', 'l', 'm', 'n', 'o', 'p', 'q',"
     " 'r', 's', 't']['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i', 'j']['a b ']['a']"},
    {"{{ d.keys()|list }}{{ d.values()|list }}{{ d.get('role', 1) }}{{ '\303\200\303\211 \303"
     "\251'.lower() }}{{ '\303\240\303\251-b c2d {e (f'|title }}{{ '\303\240\303\251-b c2d'"
     ".title() }}{{ 'ABC \303\251'|capitalize }}",
     "['role', 'content', 'n']['user', 'x\\'y\"z', {'m': [1, 2]}]user\303\240\303\251 \303\251"
     "\303\200\303\251-B C2d {E (F\303\200\303\251-B C2DAbc \303\251"},
    {"{{ 'abc'.get('x') }}",
     NULL},
    {"{% macro m(x) %}{{ x }}{% endmacro %}{{ m(y=1) }}",
     NULL},
    {"{% macro m(x) %}{{ x }}{% endmacro %}{{ m(1, 2) }}",
     NULL},
    {"{% macro m(x, y=nope.z) %}{{ x }}{% endmacro %}{{ m(1) }}",
     NULL},
    {"{% macro m(x) %}{{ x }}{% endmacro %}{{ m(1,) }}{{ m == m }}{{ m is callable }}",
     "1TrueTrue"},
    {"{{ range('a') }}",
     NULL},
    {"{{ range(1, 5, 0) }}",
     NULL},
    {"{{ range(5, 0, -2)|list }}{{ range(0)|list }}{{ range(3, 1)|list }}",
     "[5, 3, 1][][]"},
    {"{{ range(1, 2, 3, 4) }}",
     NULL},
    {"{{ range() }}",
     NULL},
    {"{{ dict({'a':1}, b=2) }}{{ dict() }}{{ namespace({'a':1}).a }}{% set n1 = namespace()"
     " %}{{ 1 if n1 else 2 }}",
     "{'a': 1, 'b': 2}{}11"},
    {"{{ dict(1) }}",
     NULL},
    {"{{ (1)(2) }}",
     NULL},
    {"{{ a() }}",
     NULL},
    {"{{ nope() }}",
     NULL},
    {"{{ nope.x() }}",
     NULL},
    {"{{ raise_exception() }}",
     NULL},
    {"{{ raise_exception(5) }}",
     NULL},
    {"{{ [1,[2,{'a':3}]] == [1,[2,{'a':3}]] }}{{ [1,2] == [1,3] }}{{ [1] == [1,2] }}{{ {'a'"
     ":1} == {'b':1} }}{{ {'a':1} == {'a':1,'b':2} }}{{ {'a':1} == {'a':2} }}{{ 'a' == 1 }}"
     "{{ none == none }}{{ nope == 1 }}",
     "TrueFalseFalseFalseFalseFalseFalseTrueFalse"},
    {"{{ 1 < 'a' }}",
     NULL},
    {"{{ [1] < 1 }}",
     NULL},
    {"{{ 1.5 < 2 }}{{ 1.5 >= 1.5 }}{{ 'ab' < 'abc' }}{{ 'b' > 'abc' }}{{ 'a' <= 'a' }}{{ ''"
     " < 'a' }}{{ 3 > 2.5 }}{{ 2 >= 3 }}{{ 'a' != 'a' }}",
     "TrueTrueTrueTrueTrueTrueTrueFalseFalse"},
    {"{{ 1 in 'a' }}",
     NULL},
    {"{{ 1 in 5 }}",
     NULL},
    {"{{ 1 in [] }}{{ none in [none] }}{{ '' in '' }}{{ 'a' in '' }}{{ '' in 'a' }}{{ {} in"
     " [{}] }}",
     "FalseTrueTrueFalseTrueTrue"},
    {"{% for x in namespace(a=1) %}{% endfor %}",
     NULL},
    {"{% for x in 5 %}{% endfor %}",
     NULL},
    {"{% for x, y in [1] %}{% endfor %}",
     NULL},
    {"{% for x, y in [[1]] %}{% endfor %}",
     NULL},
    {"{% for x in [1] if nope.y %}{% endfor %}",
     NULL},
    {"{% for (x, y) in [[1,2]] %}{{ x }}{{ y }}{% endfor %}{% for x in 1, 2 %}{{ x }}{% end"
     "for %}",
     "1212"},
    {"{{ {'a':1,'b':2,'c':3,'d':4,'e':5,'f':6,'g':7,'h':8,'i':9,'j':10} }}",
     "{'a': 1, 'b': 2, 'c': 3, 'd': 4, 'e': 5, 'f': 6, 'g': 7, 'h': 8, 'i': 9, 'j': 10}"},
    {"{{ 1.5 - 1 }} {{ 1.5 * 2.0 }} {{ 1 / 4 + 1 }} {{ 5.0 // 2 }} {{ +a }} {{ +f }} {{ -f "
     "}} {{ 'x' * -1 }}| {{ (1,) + (2,) }} {{ true + 1 }} {{ 7 % -3 }} {{ -7 // 2 }} {{ 2 *"
     "* 0 }}",
     "0.5 3.0 1.25 2.0 3 0.5 -0.5 | (1, 2) 2 -2 -4 1"},
    {"{{ 1.5 / 0 }}",
     NULL},
    {"{{ 1.5 // 0 }}",
     NULL},
    {"{{ 5 % 0 }}",
     NULL},
    {"{{ -s }}",
     NULL},
    {"{{ [1] + (2,) }}",
     NULL},
    {"{{ 'a' - 'b' }}",
     NULL},
    {"{{ 'a' * 'b' }}",
     NULL},
    {"{{ 5|first }}",
     NULL},
    {"{{ 5|last }}",
     NULL},
    {"{{ 5|list }}",
     NULL},
    {"{{ 5|reverse }}",
     NULL},
    {"{{ nope|items|list }}{{ d|items|list }}{{ nope|length }}{{ d|count }}{{ l|length }}{{"
     " ''|length }}",
     "[][('role', 'user'), ('content', 'x\\'y\"z'), ('n', {'m': [1, 2]})]0340"},
    {"{{ l|map('nosuch')|list }}",
     NULL},
    {"{{ 5|map('trim')|list }}",
     NULL},
    {"{{ 5|map(attribute='a')|list }}",
     NULL},
    {"{{ 5|join(',') }}",
     NULL},
    {"{{ 5|select('odd')|list }}",
     NULL},
    {"{{ [1]|select('nosuch')|list }}",
     NULL},
    {"{{ [1]|map('replace')|list }}",
     NULL},
    {"{{ [1]|select('divisibleby')|list }}",
     NULL},
    {"{{ ['a']|select('odd')|list }}",
     NULL},
    {"{{ messages|map(attribute='role.x')|list }}",
     "[Undefined, Undefined, Undefined]"},
    {"{{ [d]|map(attribute='n.m')|list }}{{ messages|selectattr('role')|list|length }}{{ me"
     "ssages|join(',', attribute='role') }}{{ [1,2]|join(3) }}{{ s|safe }}{{ none|trim }}{{"
     " 5|replace('5','6') }}{{ d|join(',') }}{{ ''|last }}{{ [1,2,3]|last }}{{ 'x'|last }}",
     "[[1, 2]]3system,user,assistant132 Hello, W\303\266rld\n"
     "None6role,content,n3x"},
    {"{{ 5|int }}{{ true|int }}{{ ''|int }}{{ '1x'|int(2) }}{{ none|int(3) }}{{ -0.5|int }}"
     "{{ ' 7 '|int }}{{ 'x1'|int }}{{ '-'|int }}",
     "510230700"},
    {"{{ true|upper }}{{ none|lower }}{{ 5|title }}{{ d|string }}",
     "TRUEnone5{'role': 'user', 'content': 'x\\'y\"z', 'n': {'m': [1, 2]}}"},
    {"{{ s|trim(5) }}",
     NULL},
    {"{% for v in [1, 1.5, 'a', none, true, false, [1], (1,), {'a':1}, 0, '', [], {}] %}{{ "
     "v is defined }}{{ v is undefined }}{{ v is none }}{{ v is string }}{{ v is mapping }}"
     "{{ v is sequence }}{{ v is iterable }}{{ v is boolean }}{{ v is true }}{{ v is false "
     "}}{{ v is integer }}{{ v is float }}{{ v is number }}{{ v is eq 1 }}{{ v is ne 1 }}{{"
     " v is in [1, 'a'] }}{{ 'T' if v else 'F' }} {% endfor %}",
     "TrueFalseFalseFalseFalseFalseFalseFalseFalseFalseTrueFalseTrueTrueFalseTrueT TrueFals"
     "eFalseFalseFalseFalseFalseFalseFalseFalseFalseTrueTrueFalseTrueFalseT TrueFalseFalseT"
     "rueFalseTrueTrueFalseFalseFalseFalseFalseFalseFalseTrueTrueT TrueFalseTrueFalseFalseF"
     "alseFalseFalseFalseFalseFalseFalseFalseFalseTrueFalseF TrueFalseFalseFalseFalseFalseF"
     "alseTrueTrueFalseFalseFalseTrueTrueFalseTrueT TrueFalseFalseFalseFalseFalseFalseTrueF"
     "alseTrueFalseFalseTrueFalseTrueFalseF TrueFalseFalseFalseFalseTrueTrueFalseFalseFalse"
     "FalseFalseFalseFalseTrueFalseT TrueFalseFalseFalseFalseTrueTrueFalseFalseFalseFalseFa"
     "lseFalseFalseTrueFalseT TrueFalseFalseFalseTrueTrueTrueFalseFalseFalseFalseFalseFalse"
     "FalseTrueFalseT TrueFalseFalseFalseFalseFalseFalseFalseFalseFalseTrueFalseTrueFalseTr"
     "ueFalseF TrueFalseFalseTrueFalseTrueTrueFalseFalseFalseFalseFalseFalseFalseTrueFalseF"
     " TrueFalseFalseFalseFalseTrueTrueFalseFalseFalseFalseFalseFalseFalseTrueFalseF TrueFa"
     "lseFalseFalseTrueTrueTrueFalseFalseFalseFalseFalseFalseFalseTrueFalseF "},
    {"{{ nope is string }}{{ nope is sequence }}{{ nope is iterable }}{{ nope is mapping }}"
     "{{ nope is none }}{{ 5 is divisibleby 2 }}{{ 5 is even }}{{ 4 is odd }}{{ 0.0 == 0 }}"
     "{{ 'T' if 0.0 else 'F' }}{{ 'T' if 0.5 else 'F' }}",
     "FalseTrueTrueFalseFalseFalseFalseFalseTrueFT"},
    {"{{ 5 is divisibleby 0 }}",
     NULL},
    {"{{ 'a' is odd }}",
     NULL},
    {"{{ 5 is divisibleby 'a' }}",
     NULL},
    {"{{ 5 is in 5 }}",
     NULL},
    {"{{ 5 is divisibleby }}",
     NULL},
    {"{{ [\"'\", '\"', \"'\\\"\", \"\\t\\r\\n\\x01\\x7f\\\\\", [none, true, 1.5], {}, ('a',"
     ")] }}{{ [\"\", nope] }}",
     "[\"'\", '\"', '\\'\"', '\\t\\r\\n\\x01\\x7f\\\\', [None, True, 1.5], {}, ('a',)]['', "
     "Undefined]"},
    {"{{ \"\\\"\\\\\\b\\f\\n\\r\\t\\x01\\x7f/\303\251\" | tojson }}{{ [1, 1.5, none, true, "
     "false, [], {}, {'a': []}] | tojson }}{{ {'a': [1, {'b': 2}]} | tojson(indent=3) }}",
     "\"\\\"\\\\\\b\\f\\n\\r\\t\\u0001\177/\303\251\"[1, 1.5, null, true, false, [], {}, {\""
     "a\": []}]{\n   \"a\": [\n      1,\n      {\n"
     "         \"b\": 2\n      }\n   ]\n}"},
    {"{% set ns = namespace(x=10.0) %}{% for i in range(10) %}{% set ns.x = ns.x * ns.x %}{"
     "% endfor %}{{ ns.x }} {{ -ns.x }} {{ ns.x - ns.x }} {{ 1.0 * 1234567890123456.0 }} {{"
     " 0.0001 }} {{ -2.5 }} {{ 1e }}",
     NULL},
    {"{% set ns = namespace(x=10.0) %}{% for i in range(10) %}{% set ns.x = ns.x * ns.x %}{"
     "% endfor %}{{ ns.x }} {{ -ns.x }} {{ ns.x - ns.x }} {{ 1.0 * 1234567890123456.0 }} {{"
     " 0.0001 }} {{ -2.5 }}",
     "inf -inf nan 1234567890123456.0 0.0001 -2.5"},
    {"{{ nope|tojson }}",
     NULL},
    {"{{ \"\\a\\b\\f\\v\\r\\t\\u20ac\\U0001f600\\1\\18\\xff\\v\" }}{{ '\\'' \"\\\"\" }}{{ \""
     "\" \"\" }}",
     "\007\010\014\013\r\t\342\202\254\360\237\230\200\001\0018\303\277\013'\""},
    {"{{ \"\\xg1\" }}",
     NULL},
    {"{{ \"\\u12\" }}",
     NULL},
    {"{{ \"\\U00110000\" }}",
     NULL},
    {"{{ 12ab }}",
     NULL},
    {"{{ 1.x }}",
     ""},
    {"{{ a.0 }}{{ l.0 }}{{ l.1 }}",
     "1two"},
    {"{# a +#}{# b -#}   x{#+ c #}y",
     "xy"},
    {"{{ a, }}{{ (a) }}{{ (a,) }}{{ [a,] }}{{ {'a':1,} }}{{ range(2,)|list }}",
     "(3,)3(3,)[3]{'a': 1}[0, 1]"},
    {"{{ f(x=1, 2) }}",
     NULL},
    {"{{ l[1:2:3:4] }}",
     NULL},
    {"{{ d. }}",
     NULL},
    {"{{ |trim }}",
     NULL},
    {"{{ a | }}",
     NULL},
    {"{{ a is }}",
     NULL},
    {"{{ a b }}",
     NULL},
    {"{% set 5 = 1 %}",
     NULL},
    {"{% set a.5 = 1 %}",
     NULL},
    {"{% set x %}{% endset %}{% set (p, q) = (1, 2) %}{{ p }}{{ q }}{% set ns = namespace()"
     " %}{% set ns.a, w = 1, 2 %}{{ ns.a }}{{ w }}",
     "1212"},
    {"{% set nope.x = 1 %}",
     NULL},
    {"{% set x = nope.y.z %}",
     NULL},
    {"{% for %}{% endfor %}",
     NULL},
    {"{% for x %}{% endfor %}",
     NULL},
    {"{% for x of y %}{% endfor %}",
     NULL},
    {"{% macro %}{% endmacro %}",
     NULL},
    {"{% macro m %}{% endmacro %}",
     NULL},
    {"{% macro m(5) %}{% endmacro %}",
     NULL},
    {"{% macro m(a b) %}{% endmacro %}",
     NULL},
    {"{% if a %}{% else %}{% else %}{% endif %}",
     NULL},
    {"{% if a b %}{% endif %}",
     NULL},
    {"{% endif %}",
     NULL},
    {"{% 5 %}",
     NULL},
    {"{% if a %}{% endif x %}",
     NULL},
    {"{% if nope.x.y %}{% endif %}",
     NULL},
    {"{% for x in nope.x.y %}{% endfor %}",
     NULL},
    {"{{ nope.x.y if 1 }}{{ 1 if nope.x.y }}",
     NULL},
    {"{{ 1 and nope.x.y }}",
     NULL},
    {"{{ [nope.x.y] }}",
     NULL},
    {"{{ {'a': nope.x.y} }}",
     NULL},
    {"{{ {nope.x.y: 1} }}",
     NULL},
    {"{{ l[nope.x.y] }}",
     NULL},
    {"{{ m(nope.x.y) }}{{ s|trim(nope.x.y) }}{{ 1 + nope.x.y }}{{ -nope.x.y }}{{ not nope.x"
     ".y }}",
     NULL},
    {"{{ s|trim(chars=nope.x.y) }}",
     NULL},
    {"{{ nope.x.y|trim }}",
     NULL},
    {"{{ nope.x.y() }}",
     NULL},
    {"{{ 1.5|tojson }}{{ 1 if 1 else nope.x }}{{ 2 if 0 else 3 if 0 else 4 }}",
     "1.514"},
    {"{{ 'a\\\nb' }}",
     "ab"},
    {"  {% if t %}\n  x\n  {% endif %}\n y\n",
     "  x\n y"},
    {"a  {%- if t -%}  b  {%- endif %}  c",
     "ab  c"},
    {"{% if t %}\n\n{% endif %}\n\n",
     "\n"},
    {"x {# c #}\ny",
     "x y"},
    {"  {# c #}\n  y",
     "  y"},
    {"  {#- c -#}\n  y",
     "y"},
    {" {{ a }} \n {{- a -}} \n b",
     " 33b"},
    {"{%+ if t %}x{%+ endif %}",
     "x"},
    {"  {%+ if t +%}\nx{% endif %}",
     "  \nx"},
    {"a\r\nb\rc\n",
     "a\nb\nc"},
    {"\n",
     ""},
    {"",
     ""},
    {"\n\n",
     "\n"},
    {"{{ a }}\n",
     "3"},
    {"{{ a }}\n\n",
     "3\n"},
    {"{% set x = 1 -%}\n\n  z",
     "z"},
    {"q\n\t {%- set x = 1 %}\nz",
     "qz"},
    {"{% if t %} \n{% endif %}",
     " \n"},
    {"q {% if t %}\nx {% endif %}",
     "q x "},
    {"\343\200\200{%- if t %}x{% endif %}\302\240",
     "x\302\240"},
    {"{{a}}{% if t %}  {% endif %}\n  {% if t %}x{% endif %}",
     "3  x"},
    {"{#-#}x",
     "x"},
    {"{# a -#}  x",
     "x"},
    {"{{- a }}",
     "3"},
    {"x{{-1}}",
     "x1"},
    {"a{% if t %}{# x #}\n{% endif %}b",
     "ab"},
    {"{% for m in messages %}\n    {%- if loop.first %}\n"
     "  A\n    {%- endif %}\n{{ m.role }}\n{% endfor %}\n",
     "  Asystem\nuser\nassistant\n"},
    {"  {% generation %}\n  x\n  {% endgeneration %}\n",
     "  x\n"},
};

typedef struct golden_chat {
  const char *name, *bos, *eos, *template;
} golden_chat;

static const golden_chat golden_chats[] = {
    {"chatml", "<|im_start|>", "<|im_end|>",
     "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n"
     "' + message['content'] + '<|im_end|>' + '\n"
     "'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n"
     "' }}{% endif %}"},
    {"chatml with a first system message", "<|im_start|>", "<|im_end|>",
     "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}{"
     "{ '<|im_start|>system\nYou answer briefly.<|im_end|>\n"
     "' }}{% endif %}{{'<|im_start|>' + message['role'] + '\n"
     "' + message['content'] + '<|im_end|>' + '\n"
     "'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n"
     "' }}{% endif %}"},
    {"llama 2", "<s>", "</s>",
     "{% if messages[0]['role'] == 'system' %}{% set loop_messages = messages[1:] %}{% set "
     "system_message = messages[0]['content'] %}{% else %}{% set loop_messages = messages %"
     "}{% set system_message = false %}{% endif %}{% for message in loop_messages %}{% if ("
     "message['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('Roles must"
     " take turns: user, assistant, user, ...') }}{% endif %}{% if loop.index0 == 0 and sys"
     "tem_message != false %}{% set content = '<<SYS>>\\n' + system_message + '\\n<</SYS>>\\"
     "n\\n' + message['content'] %}{% else %}{% set content = message['content'] %}{% endif"
     " %}{% if message['role'] == 'user' %}{{ bos_token + '[INST] ' + content.strip() + ' ["
     "/INST]' }}{% elif message['role'] == 'assistant' %}{{ ' '  + content.strip() + ' ' + "
     "eos_token }}{% endif %}{% endfor %}"},
    {"llama 3", "<|begin_of_text|>", "<|eot_id|>",
     "{% set loop_messages = messages %}{% for message in loop_messages %}{% set content = "
     "'<|start_header_id|>' + message['role'] + '<|end_header_id|>\n"
     "\n'+ message['content'] | trim + '<|eot_id|>' %}{% if loop.index0 == 0 %}{% set conte"
     "nt = bos_token + content %}{% endif %}{{ content }}{% endfor %}{% if add_generation_p"
     "rompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n"
     "\n' }}{% endif %}"},
    {"llama 3.2", "<|begin_of_text|>", "<|eot_id|>",
     "{{- bos_token }}\n{%- if custom_tools is defined %}\n"
     "    {%- set tools = custom_tools %}\n{%- endif %}\n"
     "{%- if not date_string is defined %}\n    {%- if strftime_now is defined %}\n"
     "        {%- set date_string = strftime_now(\"%d %b %Y\") %}\n"
     "    {%- else %}\n        {%- set date_string = \"26 Jul 2024\" %}\n"
     "    {%- endif %}\n{%- endif %}\n{%- if not tools is defined %}\n"
     "    {%- set tools = none %}\n{%- endif %}\n"
     "\n{#- The system message is taken out. #}\n"
     "{%- if messages[0]['role'] == 'system' %}\n"
     "    {%- set system_message = messages[0]['content']|trim %}\n"
     "    {%- set messages = messages[1:] %}\n{%- else %}\n"
     "    {%- set system_message = \"\" %}\n{%- endif %}\n"
     "{{- \"<|start_header_id|>system<|end_header_id|>\\n\\n\" }}\n"
     "{%- if tools is not none %}\n    {{- \"Environment: ipython\\n\" }}\n"
     "{%- endif %}\n{{- \"Today Date: \" + date_string + \"\\n\\n\" }}\n"
     "{{- system_message }}\n{{- \"<|eot_id|>\" }}\n"
     "{%- for message in messages %}\n    {%- if not (message.role == 'ipython' or message."
     "role == 'tool' or 'tool_calls' in message) %}\n"
     "        {{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n'+ mess"
     "age['content'] | trim + '<|eot_id|>' }}\n"
     "    {%- elif message.role == \"tool\" or message.role == \"ipython\" %}\n"
     "        {{- \"<|start_header_id|>ipython<|end_header_id|>\\n\\n\" }}\n"
     "        {%- if message.content is mapping or message.content is iterable %}\n"
     "            {{- message.content | tojson }}\n"
     "        {%- else %}\n            {{- message.content }}\n"
     "        {%- endif %}\n        {{- \"<|eot_id|>\" }}\n"
     "    {%- endif %}\n{%- endfor %}\n{%- if add_generation_prompt %}\n"
     "    {{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}\n"
     "{%- endif %}\n"},
    {"mistral", "<s>", "</s>",
     "{%- if messages[0][\"role\"] == \"system\" %}\n"
     "    {%- set system_message = messages[0][\"content\"] %}\n"
     "    {%- set loop_messages = messages[1:] %}\n"
     "{%- else %}\n    {%- set loop_messages = messages %}\n"
     "{%- endif %}\n{%- set ns = namespace() %}\n"
     "{%- set ns.index = 0 %}\n{%- for message in loop_messages %}\n"
     "    {%- if (message[\"role\"] == \"user\") != (ns.index % 2 == 0) %}\n"
     "        {{- raise_exception(\"Roles must take turns: user, assistant, user, ...\") }}"
     "\n    {%- endif %}\n    {%- set ns.index = ns.index + 1 %}\n"
     "{%- endfor %}\n\n{{- bos_token }}\n{%- for message in loop_messages %}\n"
     "    {%- if message[\"role\"] == \"user\" %}\n"
     "        {%- if loop.first and system_message is defined %}\n"
     "            {{- \"[INST] \" + system_message + \"\\n\\n\" + message[\"content\"] + \""
     "[/INST]\" }}\n        {%- else %}\n            {{- \"[INST] \" + message[\"content\"]"
     " + \"[/INST]\" }}\n        {%- endif %}\n"
     "    {%- elif message[\"role\"] == \"assistant\" %}\n"
     "        {{- \" \" + message[\"content\"]|trim + eos_token}}\n"
     "    {%- else %}\n        {{- raise_exception(\"Only the roles user and assistant are "
     "known\") }}\n    {%- endif %}\n{%- endfor %}\n"},
    {"gemma", "<bos>", "<end_of_turn>",
     "{{ bos_token }}{% if messages[0]['role'] == 'system' %}{{ raise_exception('There is n"
     "o system role') }}{% endif %}{% for message in messages %}{% if (message['role'] == '"
     "user') != (loop.index0 % 2 == 0) %}{{ raise_exception('Roles must take turns: user, a"
     "ssistant, user, ...') }}{% endif %}{% if (message['role'] == 'assistant') %}{% set ro"
     "le = 'model' %}{% else %}{% set role = message['role'] %}{% endif %}{{ '<start_of_tur"
     "n>' + role + '\n' + message['content'] | trim + '<end_of_turn>\n"
     "' }}{% endfor %}{% if add_generation_prompt %}{{'<start_of_turn>model\n"
     "'}}{% endif %}"},
    {"zephyr", "<s>", "</s>",
     "{% for message in messages %}\n{% if message['role'] == 'user' %}\n"
     "{{ '<|user|>\n' + message['content'] + eos_token }}\n"
     "{% elif message['role'] == 'system' %}\n{{ '<|system|>\n"
     "' + message['content'] + eos_token }}\n{% elif message['role'] == 'assistant' %}\n"
     "{{ '<|assistant|>\n'  + message['content'] + eos_token }}\n"
     "{% endif %}\n{% if loop.last and add_generation_prompt %}\n"
     "{{ '<|assistant|>' }}\n{% endif %}\n{% endfor %}"},
    {"phi 3", "<s>", "<|endoftext|>",
     "{% for message in messages %}{{'<|' + message['role'] + '|>' + '\n"
     "' + message['content'] + '<|end|>\n' }}{% endfor %}{% if add_generation_prompt %}{{ '"
     "<|assistant|>\n' }}{% else %}{{ eos_token }}{% endif %}"},
    {"qwen 3", "<|endoftext|>", "<|im_end|>",
     "{%- if tools %}\n    {{- '<|im_start|>system\\n' }}{{- tools|tojson }}{{- '<|im_end|>"
     "\\n' }}\n{%- else %}\n    {%- if messages[0].role == 'system' %}\n"
     "        {{- '<|im_start|>system\\n' + messages[0].content + '<|im_end|>\\n' }}\n"
     "    {%- endif %}\n{%- endif %}\n{%- set ns = namespace(multi_step_tool=true, last_que"
     "ry_index=messages|length - 1) %}\n{%- for message in messages[::-1] %}\n"
     "    {%- set index = (messages|length - 1) - loop.index0 %}\n"
     "    {%- if ns.multi_step_tool and message.role == \"user\" and message.content is str"
     "ing and not(message.content.startswith('<tool_response>') and message.content.endswit"
     "h('</tool_response>')) %}\n        {%- set ns.multi_step_tool = false %}\n"
     "        {%- set ns.last_query_index = index %}\n"
     "    {%- endif %}\n{%- endfor %}\n{%- for message in messages %}\n"
     "    {%- if (message.role == \"user\") or (message.role == \"system\" and not loop.fir"
     "st) %}\n        {{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_e"
     "nd|>' + '\\n' }}\n    {%- elif message.role == \"assistant\" %}\n"
     "        {%- set content = message.content %}\n"
     "        {%- set reasoning_content = '' %}\n"
     "        {%- if message.reasoning_content is defined and message.reasoning_content is "
     "not none %}\n            {%- set reasoning_content = message.reasoning_content %}\n"
     "        {%- else %}\n            {%- if '</think>' in message.content %}\n"
     "                {%- set content = message.content.split('</think>')[-1].lstrip('\\n')"
     " %}\n                {%- set reasoning_content = message.content.split('</think>')[0]"
     ".rstrip('\\n').split('<think>')[-1].lstrip('\\n') %}\n"
     "            {%- endif %}\n        {%- endif %}\n"
     "        {%- if loop.index0 > ns.last_query_index and (loop.last or (not loop.last and"
     " reasoning_content)) %}\n            {{- '<|im_start|>' + message.role + '\\n<think>\\"
     "n' + reasoning_content.strip('\\n') + '\\n</think>\\n\\n' + content.lstrip('\\n') }}\n"
     "        {%- else %}\n            {{- '<|im_start|>' + message.role + '\\n' + content "
     "}}\n        {%- endif %}\n        {{- '<|im_end|>\\n' }}\n"
     "    {%- endif %}\n{%- endfor %}\n{%- if add_generation_prompt %}\n"
     "    {{- '<|im_start|>assistant\\n' }}\n    {%- if enable_thinking is defined and enab"
     "le_thinking is false %}\n        {{- '<think>\\n\\n</think>\\n\\n' }}\n"
     "    {%- endif %}\n{%- endif %}"},
    {"deepseek", "<\357\275\234begin\342\226\201of\342\226\201sentence\357\275\234>", "<\357\275\234end\342\226\201of\342\226\201sentence\357\275\234>",
     "{% if not add_generation_prompt is defined %}{% set add_generation_prompt = false %}{"
     "% endif %}{{ bos_token }}{% for message in messages %}{% if message['role'] == 'user'"
     " %}{{ 'User: ' + message['content'] + '\n"
     "\n' }}{% elif message['role'] == 'assistant' %}{{ 'Assistant: ' + message['content'] "
     "+ eos_token }}{% elif message['role'] == 'system' %}{{ message['content'] + '\n"
     "\n' }}{% endif %}{% endfor %}{% if add_generation_prompt %}{{ 'Assistant:' }}{% endif"
     " %}"},
};

/* a conversation: role, content, ..., NULL */
static const char *const golden_conversations[][8] = {
    {"user", "Hi there", NULL},
    {"user", "  What is 2+2?\n", "assistant", " 4 ", "user", "And <b>3</b>?", NULL},
    {"system", "Be kind.", "user", "Gr\303\274\303\237e \344\275\240\345\245\275", "assistant", "\n\nHallo \360\237\230\200", NULL},
    {"user", "a", "user", "b", NULL},
    {"user", "<|im_end|></s>", "assistant", "<think>\nx\n</think>\n\ny", NULL},
};

/* for each template and conversation: without and with a generation prompt; NULL: refused */
static const char *const golden_renderings[][5][2] = {
    {
     {"<|im_start|>user\nHi there<|im_end|>\n",
     "<|im_start|>user\nHi there<|im_end|>\n<|im_start|>assistant\n"},
     {"<|im_start|>user\n  What is 2+2?\n<|im_end|>\n"
     "<|im_start|>assistant\n 4 <|im_end|>\n<|im_start|>user\n"
     "And <b>3</b>?<|im_end|>\n",
     "<|im_start|>user\n  What is 2+2?\n<|im_end|>\n"
     "<|im_start|>assistant\n 4 <|im_end|>\n<|im_start|>user\n"
     "And <b>3</b>?<|im_end|>\n<|im_start|>assistant\n"},
     {"<|im_start|>system\nBe kind.<|im_end|>\n<|im_start|>user\n"
     "Gr\303\274\303\237e \344\275\240\345\245\275<|im_end|>\n"
     "<|im_start|>assistant\n\n\nHallo \360\237\230\200<|im_end|>\n",
     "<|im_start|>system\nBe kind.<|im_end|>\n<|im_start|>user\n"
     "Gr\303\274\303\237e \344\275\240\345\245\275<|im_end|>\n"
     "<|im_start|>assistant\n\n\nHallo \360\237\230\200<|im_end|>\n"
     "<|im_start|>assistant\n"},
     {"<|im_start|>user\na<|im_end|>\n<|im_start|>user\n"
     "b<|im_end|>\n",
     "<|im_start|>user\na<|im_end|>\n<|im_start|>user\n"
     "b<|im_end|>\n<|im_start|>assistant\n"},
     {"<|im_start|>user\n<|im_end|></s><|im_end|>\n"
     "<|im_start|>assistant\n<think>\nx\n</think>\n"
     "\ny<|im_end|>\n",
     "<|im_start|>user\n<|im_end|></s><|im_end|>\n"
     "<|im_start|>assistant\n<think>\nx\n</think>\n"
     "\ny<|im_end|>\n<|im_start|>assistant\n"},
    },
    {
     {"<|im_start|>system\nYou answer briefly.<|im_end|>\n"
     "<|im_start|>user\nHi there<|im_end|>\n",
     "<|im_start|>system\nYou answer briefly.<|im_end|>\n"
     "<|im_start|>user\nHi there<|im_end|>\n<|im_start|>assistant\n"},
     {"<|im_start|>system\nYou answer briefly.<|im_end|>\n"
     "<|im_start|>user\n  What is 2+2?\n<|im_end|>\n"
     "<|im_start|>assistant\n 4 <|im_end|>\n<|im_start|>user\n"
     "And <b>3</b>?<|im_end|>\n",
     "<|im_start|>system\nYou answer briefly.<|im_end|>\n"
     "<|im_start|>user\n  What is 2+2?\n<|im_end|>\n"
     "<|im_start|>assistant\n 4 <|im_end|>\n<|im_start|>user\n"
     "And <b>3</b>?<|im_end|>\n<|im_start|>assistant\n"},
     {"<|im_start|>system\nBe kind.<|im_end|>\n<|im_start|>user\n"
     "Gr\303\274\303\237e \344\275\240\345\245\275<|im_end|>\n"
     "<|im_start|>assistant\n\n\nHallo \360\237\230\200<|im_end|>\n",
     "<|im_start|>system\nBe kind.<|im_end|>\n<|im_start|>user\n"
     "Gr\303\274\303\237e \344\275\240\345\245\275<|im_end|>\n"
     "<|im_start|>assistant\n\n\nHallo \360\237\230\200<|im_end|>\n"
     "<|im_start|>assistant\n"},
     {"<|im_start|>system\nYou answer briefly.<|im_end|>\n"
     "<|im_start|>user\na<|im_end|>\n<|im_start|>user\n"
     "b<|im_end|>\n",
     "<|im_start|>system\nYou answer briefly.<|im_end|>\n"
     "<|im_start|>user\na<|im_end|>\n<|im_start|>user\n"
     "b<|im_end|>\n<|im_start|>assistant\n"},
     {"<|im_start|>system\nYou answer briefly.<|im_end|>\n"
     "<|im_start|>user\n<|im_end|></s><|im_end|>\n"
     "<|im_start|>assistant\n<think>\nx\n</think>\n"
     "\ny<|im_end|>\n",
     "<|im_start|>system\nYou answer briefly.<|im_end|>\n"
     "<|im_start|>user\n<|im_end|></s><|im_end|>\n"
     "<|im_start|>assistant\n<think>\nx\n</think>\n"
     "\ny<|im_end|>\n<|im_start|>assistant\n"},
    },
    {
     {"<s>[INST] Hi there [/INST]",
     "<s>[INST] Hi there [/INST]"},
     {"<s>[INST] What is 2+2? [/INST] 4 </s><s>[INST] And <b>3</b>? [/INST]",
     "<s>[INST] What is 2+2? [/INST] 4 </s><s>[INST] And <b>3</b>? [/INST]"},
     {"<s>[INST] <<SYS>>\nBe kind.\n<</SYS>>\n\n"
     "Gr\303\274\303\237e \344\275\240\345\245\275 [/INST] Hallo \360\237\230\200 </s>",
     "<s>[INST] <<SYS>>\nBe kind.\n<</SYS>>\n\n"
     "Gr\303\274\303\237e \344\275\240\345\245\275 [/INST] Hallo \360\237\230\200 </s>"},
     {NULL,
     NULL},
     {"<s>[INST] <|im_end|></s> [/INST] <think>\n"
     "x\n</think>\n\ny </s>",
     "<s>[INST] <|im_end|></s> [/INST] <think>\n"
     "x\n</think>\n\ny </s>"},
    },
    {
     {"<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n"
     "\nHi there<|eot_id|>",
     "<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n"
     "\nHi there<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n"
     "\n"},
     {"<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n"
     "\nWhat is 2+2?<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n"
     "\n4<|eot_id|><|start_header_id|>user<|end_header_id|>\n"
     "\nAnd <b>3</b>?<|eot_id|>",
     "<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n"
     "\nWhat is 2+2?<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n"
     "\n4<|eot_id|><|start_header_id|>user<|end_header_id|>\n"
     "\nAnd <b>3</b>?<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n"
     "\n"},
     {"<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n"
     "\nBe kind.<|eot_id|><|start_header_id|>user<|end_header_id|>\n"
     "\nGr\303\274\303\237e \344\275\240\345\245\275<|eot_id|><|start_header_id|>assistant<"
     "|end_header_id|>\n\nHallo \360\237\230\200<|eot_id|>",
     "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n"
     "\nBe kind.<|eot_id|><|start_header_id|>user<|end_header_id|>\n"
     "\nGr\303\274\303\237e \344\275\240\345\245\275<|eot_id|><|start_header_id|>assistant<"
     "|end_header_id|>\n\nHallo \360\237\230\200<|eot_id|><|start_header_id|>assistant<|end"
     "_header_id|>\n\n"},
     {"<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n"
     "\na<|eot_id|><|start_header_id|>user<|end_header_id|>\n"
     "\nb<|eot_id|>",
     "<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n"
     "\na<|eot_id|><|start_header_id|>user<|end_header_id|>\n"
     "\nb<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n"
     "\n"},
     {"<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n"
     "\n<|im_end|></s><|eot_id|><|start_header_id|>assistant<|end_header_id|>\n"
     "\n<think>\nx\n</think>\n\ny<|eot_id|>",
     "<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n"
     "\n<|im_end|></s><|eot_id|><|start_header_id|>assistant<|end_header_id|>\n"
     "\n<think>\nx\n</think>\n\ny<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n"
     "\n"},
    },
    {
     {"<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n"
     "\nToday Date: 26 Jul 2024\n\n<|eot_id|><|start_header_id|>user<|end_header_id|>\n"
     "\nHi there<|eot_id|>",
     "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n"
     "\nToday Date: 26 Jul 2024\n\n<|eot_id|><|start_header_id|>user<|end_header_id|>\n"
     "\nHi there<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n"
     "\n"},
     {"<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n"
     "\nToday Date: 26 Jul 2024\n\n<|eot_id|><|start_header_id|>user<|end_header_id|>\n"
     "\nWhat is 2+2?<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n"
     "\n4<|eot_id|><|start_header_id|>user<|end_header_id|>\n"
     "\nAnd <b>3</b>?<|eot_id|>",
     "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n"
     "\nToday Date: 26 Jul 2024\n\n<|eot_id|><|start_header_id|>user<|end_header_id|>\n"
     "\nWhat is 2+2?<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n"
     "\n4<|eot_id|><|start_header_id|>user<|end_header_id|>\n"
     "\nAnd <b>3</b>?<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n"
     "\n"},
     {"<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n"
     "\nToday Date: 26 Jul 2024\n\nBe kind.<|eot_id|><|start_header_id|>user<|end_header_id"
     "|>\n\nGr\303\274\303\237e \344\275\240\345\245\275<|eot_id|><|start_header_id|>assist"
     "ant<|end_header_id|>\n\nHallo \360\237\230\200<|eot_id|>",
     "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n"
     "\nToday Date: 26 Jul 2024\n\nBe kind.<|eot_id|><|start_header_id|>user<|end_header_id"
     "|>\n\nGr\303\274\303\237e \344\275\240\345\245\275<|eot_id|><|start_header_id|>assist"
     "ant<|end_header_id|>\n\nHallo \360\237\230\200<|eot_id|><|start_header_id|>assistant<"
     "|end_header_id|>\n\n"},
     {"<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n"
     "\nToday Date: 26 Jul 2024\n\n<|eot_id|><|start_header_id|>user<|end_header_id|>\n"
     "\na<|eot_id|><|start_header_id|>user<|end_header_id|>\n"
     "\nb<|eot_id|>",
     "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n"
     "\nToday Date: 26 Jul 2024\n\n<|eot_id|><|start_header_id|>user<|end_header_id|>\n"
     "\na<|eot_id|><|start_header_id|>user<|end_header_id|>\n"
     "\nb<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n"
     "\n"},
     {"<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n"
     "\nToday Date: 26 Jul 2024\n\n<|eot_id|><|start_header_id|>user<|end_header_id|>\n"
     "\n<|im_end|></s><|eot_id|><|start_header_id|>assistant<|end_header_id|>\n"
     "\n<think>\nx\n</think>\n\ny<|eot_id|>",
     "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n"
     "\nToday Date: 26 Jul 2024\n\n<|eot_id|><|start_header_id|>user<|end_header_id|>\n"
     "\n<|im_end|></s><|eot_id|><|start_header_id|>assistant<|end_header_id|>\n"
     "\n<think>\nx\n</think>\n\ny<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n"
     "\n"},
    },
    {
     {"<s>[INST] Hi there[/INST]",
     "<s>[INST] Hi there[/INST]"},
     {"<s>[INST]   What is 2+2?\n[/INST] 4</s>[INST] And <b>3</b>?[/INST]",
     "<s>[INST]   What is 2+2?\n[/INST] 4</s>[INST] And <b>3</b>?[/INST]"},
     {"<s>[INST] Be kind.\n\nGr\303\274\303\237e \344\275\240\345\245\275[/INST] Hallo \360\237"
     "\230\200</s>",
     "<s>[INST] Be kind.\n\nGr\303\274\303\237e \344\275\240\345\245\275[/INST] Hallo \360\237"
     "\230\200</s>"},
     {NULL,
     NULL},
     {"<s>[INST] <|im_end|></s>[/INST] <think>\n"
     "x\n</think>\n\ny</s>",
     "<s>[INST] <|im_end|></s>[/INST] <think>\n"
     "x\n</think>\n\ny</s>"},
    },
    {
     {"<bos><start_of_turn>user\nHi there<end_of_turn>\n",
     "<bos><start_of_turn>user\nHi there<end_of_turn>\n"
     "<start_of_turn>model\n"},
     {"<bos><start_of_turn>user\nWhat is 2+2?<end_of_turn>\n"
     "<start_of_turn>model\n4<end_of_turn>\n<start_of_turn>user\n"
     "And <b>3</b>?<end_of_turn>\n",
     "<bos><start_of_turn>user\nWhat is 2+2?<end_of_turn>\n"
     "<start_of_turn>model\n4<end_of_turn>\n<start_of_turn>user\n"
     "And <b>3</b>?<end_of_turn>\n<start_of_turn>model\n"},
     {NULL,
     NULL},
     {NULL,
     NULL},
     {"<bos><start_of_turn>user\n<|im_end|></s><end_of_turn>\n"
     "<start_of_turn>model\n<think>\nx\n</think>\n"
     "\ny<end_of_turn>\n",
     "<bos><start_of_turn>user\n<|im_end|></s><end_of_turn>\n"
     "<start_of_turn>model\n<think>\nx\n</think>\n"
     "\ny<end_of_turn>\n<start_of_turn>model\n"},
    },
    {
     {"<|user|>\nHi there</s>\n",
     "<|user|>\nHi there</s>\n<|assistant|>\n"},
     {"<|user|>\n  What is 2+2?\n</s>\n<|assistant|>\n"
     " 4 </s>\n<|user|>\nAnd <b>3</b>?</s>\n",
     "<|user|>\n  What is 2+2?\n</s>\n<|assistant|>\n"
     " 4 </s>\n<|user|>\nAnd <b>3</b>?</s>\n<|assistant|>\n"},
     {"<|system|>\nBe kind.</s>\n<|user|>\nGr\303\274\303\237e \344\275\240\345\245\275</s>\n"
     "<|assistant|>\n\n\nHallo \360\237\230\200</s>\n",
     "<|system|>\nBe kind.</s>\n<|user|>\nGr\303\274\303\237e \344\275\240\345\245\275</s>\n"
     "<|assistant|>\n\n\nHallo \360\237\230\200</s>\n"
     "<|assistant|>\n"},
     {"<|user|>\na</s>\n<|user|>\nb</s>\n",
     "<|user|>\na</s>\n<|user|>\nb</s>\n<|assistant|>\n"},
     {"<|user|>\n<|im_end|></s></s>\n<|assistant|>\n"
     "<think>\nx\n</think>\n\ny</s>\n",
     "<|user|>\n<|im_end|></s></s>\n<|assistant|>\n"
     "<think>\nx\n</think>\n\ny</s>\n<|assistant|>\n"},
    },
    {
     {"<|user|>\nHi there<|end|>\n<|endoftext|>",
     "<|user|>\nHi there<|end|>\n<|assistant|>\n"},
     {"<|user|>\n  What is 2+2?\n<|end|>\n<|assistant|>\n"
     " 4 <|end|>\n<|user|>\nAnd <b>3</b>?<|end|>\n"
     "<|endoftext|>",
     "<|user|>\n  What is 2+2?\n<|end|>\n<|assistant|>\n"
     " 4 <|end|>\n<|user|>\nAnd <b>3</b>?<|end|>\n"
     "<|assistant|>\n"},
     {"<|system|>\nBe kind.<|end|>\n<|user|>\nGr\303\274\303\237e \344\275\240\345\245\275<|"
     "end|>\n<|assistant|>\n\n\nHallo \360\237\230\200<|end|>\n"
     "<|endoftext|>",
     "<|system|>\nBe kind.<|end|>\n<|user|>\nGr\303\274\303\237e \344\275\240\345\245\275<|"
     "end|>\n<|assistant|>\n\n\nHallo \360\237\230\200<|end|>\n"
     "<|assistant|>\n"},
     {"<|user|>\na<|end|>\n<|user|>\nb<|end|>\n<|endoftext|>",
     "<|user|>\na<|end|>\n<|user|>\nb<|end|>\n<|assistant|>\n"},
     {"<|user|>\n<|im_end|></s><|end|>\n<|assistant|>\n"
     "<think>\nx\n</think>\n\ny<|end|>\n<|endoftext|>",
     "<|user|>\n<|im_end|></s><|end|>\n<|assistant|>\n"
     "<think>\nx\n</think>\n\ny<|end|>\n<|assistant|>\n"},
    },
    {
     {"<|im_start|>user\nHi there<|im_end|>\n",
     "<|im_start|>user\nHi there<|im_end|>\n<|im_start|>assistant\n"},
     {"<|im_start|>user\n  What is 2+2?\n<|im_end|>\n"
     "<|im_start|>assistant\n 4 <|im_end|>\n<|im_start|>user\n"
     "And <b>3</b>?<|im_end|>\n",
     "<|im_start|>user\n  What is 2+2?\n<|im_end|>\n"
     "<|im_start|>assistant\n 4 <|im_end|>\n<|im_start|>user\n"
     "And <b>3</b>?<|im_end|>\n<|im_start|>assistant\n"},
     {"<|im_start|>system\nBe kind.<|im_end|>\n<|im_start|>user\n"
     "Gr\303\274\303\237e \344\275\240\345\245\275<|im_end|>\n"
     "<|im_start|>assistant\n<think>\n\n</think>\n"
     "\nHallo \360\237\230\200<|im_end|>\n",
     "<|im_start|>system\nBe kind.<|im_end|>\n<|im_start|>user\n"
     "Gr\303\274\303\237e \344\275\240\345\245\275<|im_end|>\n"
     "<|im_start|>assistant\n<think>\n\n</think>\n"
     "\nHallo \360\237\230\200<|im_end|>\n<|im_start|>assistant\n"},
     {"<|im_start|>user\na<|im_end|>\n<|im_start|>user\n"
     "b<|im_end|>\n",
     "<|im_start|>user\na<|im_end|>\n<|im_start|>user\n"
     "b<|im_end|>\n<|im_start|>assistant\n"},
     {"<|im_start|>user\n<|im_end|></s><|im_end|>\n"
     "<|im_start|>assistant\n<think>\nx\n</think>\n"
     "\ny<|im_end|>\n",
     "<|im_start|>user\n<|im_end|></s><|im_end|>\n"
     "<|im_start|>assistant\n<think>\nx\n</think>\n"
     "\ny<|im_end|>\n<|im_start|>assistant\n"},
    },
    {
     {"<\357\275\234begin\342\226\201of\342\226\201sentence\357\275\234>User: Hi there\n"
     "\n",
     "<\357\275\234begin\342\226\201of\342\226\201sentence\357\275\234>User: Hi there\n"
     "\nAssistant:"},
     {"<\357\275\234begin\342\226\201of\342\226\201sentence\357\275\234>User:   What is 2+2?"
     "\n\n\nAssistant:  4 <\357\275\234end\342\226\201of\342\226\201sentence\357\275\234>Us"
     "er: And <b>3</b>?\n\n",
     "<\357\275\234begin\342\226\201of\342\226\201sentence\357\275\234>User:   What is 2+2?"
     "\n\n\nAssistant:  4 <\357\275\234end\342\226\201of\342\226\201sentence\357\275\234>Us"
     "er: And <b>3</b>?\n\nAssistant:"},
     {"<\357\275\234begin\342\226\201of\342\226\201sentence\357\275\234>Be kind.\n"
     "\nUser: Gr\303\274\303\237e \344\275\240\345\245\275\n"
     "\nAssistant: \n\nHallo \360\237\230\200<\357\275\234end\342\226\201of\342\226\201sent"
     "ence\357\275\234>",
     "<\357\275\234begin\342\226\201of\342\226\201sentence\357\275\234>Be kind.\n"
     "\nUser: Gr\303\274\303\237e \344\275\240\345\245\275\n"
     "\nAssistant: \n\nHallo \360\237\230\200<\357\275\234end\342\226\201of\342\226\201sent"
     "ence\357\275\234>Assistant:"},
     {"<\357\275\234begin\342\226\201of\342\226\201sentence\357\275\234>User: a\n"
     "\nUser: b\n\n",
     "<\357\275\234begin\342\226\201of\342\226\201sentence\357\275\234>User: a\n"
     "\nUser: b\n\nAssistant:"},
     {"<\357\275\234begin\342\226\201of\342\226\201sentence\357\275\234>User: <|im_end|></s>"
     "\n\nAssistant: <think>\nx\n</think>\n\ny<\357\275\234end\342\226\201of\342\226\201sen"
     "tence\357\275\234>",
     "<\357\275\234begin\342\226\201of\342\226\201sentence\357\275\234>User: <|im_end|></s>"
     "\n\nAssistant: <think>\nx\n</think>\n\ny<\357\275\234end\342\226\201of\342\226\201sen"
     "tence\357\275\234>Assistant:"},
    },
};
