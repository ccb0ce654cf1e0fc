extension HTMLPage {
    /// The page's style sheet: readable on paper, phone and screen, light and dark.
    static let styleSheet =
        FigureStyle.variables(":root") + """
            *{box-sizing:border-box}
            body{margin:0;background:var(--paper);color:var(--ink);font:16px/1.55 system-ui,sans-serif}
            main{max-width:60rem;margin:0 auto;padding:2.5rem 1.25rem 4rem}
            header{border-bottom:3px solid var(--accent);margin-bottom:1.5rem;padding-bottom:.75rem}
            h1{font-size:2rem;line-height:1.2;margin:0}
            h2{font-size:1.35rem;margin:2.5rem 0 .75rem}
            h3{font-size:1rem;margin:0 0 .4rem}
            .subtitle{color:var(--ink-soft);margin:.4rem 0 0}
            .note{color:var(--ink-soft);font-size:.875rem}
            .headlines{display:grid;grid-template-columns:repeat(auto-fit,minmax(9rem,1fr));gap:.75rem;margin:1.25rem 0}
            .headlines div{background:var(--shade);border-radius:.6rem;padding:.9rem 1rem}
            .headlines strong{display:block;font-size:1.6rem;line-height:1.2;color:var(--accent)}
            .headlines span{color:var(--ink-soft);font-size:.875rem}
            .scroll{overflow-x:auto}
            table{border-collapse:collapse;width:100%;font-size:.9rem;font-variant-numeric:tabular-nums}
            th,td{text-align:left;padding:.4rem .7rem;border-bottom:1px solid var(--line);vertical-align:top}
            th{color:var(--ink-soft);font-weight:600;white-space:nowrap}
            .number{text-align:right;white-space:nowrap}
            figure{margin:1.5rem 0;padding:1rem;border:1px solid var(--line);border-radius:.6rem}
            figcaption{font-weight:600;margin-bottom:.5rem}
            figure .note{margin:.5rem 0 0}
            pre{background:var(--shade);border-radius:.6rem;padding:1rem;overflow-x:auto;white-space:pre-wrap;
            overflow-wrap:anywhere;font:.85rem/1.5 ui-monospace,monospace}
            .columns{display:grid;grid-template-columns:repeat(auto-fit,minmax(18rem,1fr));gap:1.25rem}
            blockquote{margin:0;padding:.9rem 1.1rem;background:var(--shade);border-left:3px solid var(--accent);
            border-radius:0 .6rem .6rem 0;font-family:Georgia,serif;white-space:pre-wrap;overflow-wrap:anywhere}
            details{margin:1rem 0}summary{cursor:pointer;color:var(--accent);margin-bottom:.5rem}
            .claim{border:1px solid var(--line);border-radius:.6rem;padding:1rem;margin:.9rem 0}
            .claim dl{display:grid;grid-template-columns:max-content 1fr;gap:.25rem .9rem;margin:0;font-size:.9rem}
            .claim dt{color:var(--ink-soft)}.claim dd{margin:0}
            .badge{float:right;font-size:.8rem;font-weight:600;padding:.1rem .6rem;border-radius:1rem;border:1px solid;
            margin-left:.75rem}
            .badge.holds{color:var(--series-0)}.badge.fails{color:var(--series-5)}.badge.open{color:var(--ink-soft)}
            @media print{figure,.claim{break-inside:avoid}}

            """ + FigureStyle.css
}
