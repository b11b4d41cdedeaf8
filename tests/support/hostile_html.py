"""HTML that acts on the page around it or loads something; none of it may do so in a rendered notebook."""

from __future__ import annotations

AWAY = "https://elsewhere.example"
HOSTILE = {
    "refresh": f'<meta http-equiv="refresh" content="0; url={AWAY}/">',
    "base": f'<base href="{AWAY}/">',
    "form": f'<form action="{AWAY}/"><input name="q"><button formaction="{AWAY}/">go</button></form>',
    "frame": f'<iframe src="{AWAY}/" srcdoc="x"></iframe>',
    "object": f'<embed src="{AWAY}"><object data="{AWAY}"></object>',
    "link": f'<link rel="stylesheet" href="{AWAY}/x.css">',
    "picture": f'<img src="{AWAY}/x.png" srcset="{AWAY}/y.png 2x" alt="a chart">',
    "picture of a host": '<img src="//elsewhere.example/x"><img src="\\\\elsewhere.example\\x"><img src="file://h/x">',
    "handler": '<p onclick="alert(1)" onmouseover="alert(2)">text</p><img src=x onerror="alert(3)">',
    "script": "<script>alert(1)</script><svg><script>alert(2)</script></svg><noscript><b>x</b></noscript>",
    "address of a script": '<a href="javascript:alert(1)">a</a><a href=" java\nscript:alert(1)">b</a>',
    "address of data": '<a href="data:text/html,x">c</a>',
    "style": f'<p style="background: url({AWAY}/x.png)">text</p><p style="background: ur\\6c({AWAY})">text</p>',
    "style sheet": f'<style>@import "{AWAY}/x.css";</style>',
    "style sheet with a picture": f'<style>p {{ background: image-set("{AWAY}" 1x) }}</style>',
    "svg": f'<svg><image href="{AWAY}/x.png"/><use xlink:href="{AWAY}/x.svg#a"/><g fill="url({AWAY}#a)"/></svg>',
    "svg with html": f'<svg><foreignObject><meta http-equiv="refresh" content="0; url={AWAY}"></foreignObject></svg>',
    "mixed up": '<math><mtext><table><mglyph><style><!--</style><img title="--&gt;&lt;img src=1 onerror=alert(1)&gt;">',
    "mixed up, too": '<svg></p><style><a id="</style><img src=1 onerror=alert(1)>">',
    "deleted style": '<img alt="<style>url(x)"><style>b { }</style><p title=" onerror=alert(1) ">',
}  # fmt: skip
COVERS = '<a href="https://elsewhere.example/" style="position: fixed; inset: 0; z-index: 9">covers all</a>'
