import Foundation

extension ComparisonReport {
    /// The page.
    public var html: String {
        var page = HTMLPage(
            title: "\(before.name), made smaller", subtitle: "Measured on this machine, before and after compression")
        page.headlines(headlines)
        page.table(totals)
        for figure in comparisons { page.figure(figure) }
        if let recipe {
            page.heading("The recipe")
            page.preformatted(recipe)
        }
        page.heading("Layer by layer")
        for figure in layerFigures { page.figure(figure) }
        page.foldedTable("All \(after.weights.count) tensors", tensors)
        if let histogramFigure {
            page.heading("The weights")
            page.figure(
                histogramFigure,
                caption: "Each matrix in units of its root mean square before compression. The peak at zero are the "
                    + "weights that were removed.")
        }
        if before.story != nil || after.story != nil {
            page.heading("A tale from each")
            page.columns(
                [("Before", before.story), ("After", after.story)].compactMap { name, story in story.map { (name, $0) }
                })
        }
        if let exchange {
            page.heading("Over HTTP")
            page.subheading("Question")
            page.preformatted(exchange.question)
            page.subheading("Answer")
            page.preformatted(exchange.answer)
        }
        return page.html
    }

    private var headlines: [(value: String, label: String)] {
        func ratio(_ a: Double?, _ b: Double?) -> Double? {
            guard let a, let b, a > 0, b > 0 else { return nil }
            return a / b
        }
        func times(_ value: Double) -> String { String(format: "%.2f×", value) }
        return [
            ratio(before.bytes, after.bytes).map { (times($0), "smaller") },
            ratio(after.decodeRate, before.decodeRate).map { (times($0), "speed of writing") },
            ratio(after.prefillRate, before.prefillRate).map { (times($0), "speed of reading") },
            ratio(after.perplexity, before.perplexity).map { (times($0), "perplexity") },
        ].compactMap { $0 }
    }

    private var totals: HTMLTable {
        func row(_ name: String, _ key: (Side) -> Double?, _ text: (Double) -> String) -> [String]? {
            let values = [key(before), key(after)]
            guard values.contains(where: { $0 != nil }) else { return nil }
            return [name] + values.map { $0.map(text) ?? MarkupText.missing }
        }
        let number = { (value: Double) in MarkupText.number(value) }
        return HTMLTable(
            head: ["", "before", "after"],
            rows: [
                row("size of the weights", \.bytes, MarkupText.bytes),
                row("bits per weight", \.bitsPerWeight, number),
                row("weights that are zero", \.sparsity) { MarkupText.percent($0) },
                row("multiplications with weights, for one input", \.multiplications) { value in
                    guard let dense = before.multiplications, dense > 0 else { return MarkupText.tick(value) }
                    return MarkupText.tick(value) + " (\(MarkupText.percent(value / dense)))"
                },
                row("perplexity", \.perplexity, number),
                row("bits per byte of text", \.bitsPerByte, number),
                row("prompt tokens read per second", \.prefillRate) { MarkupText.number($0, digits: 3) },
                row("tokens written per second", \.decodeRate) { MarkupText.number($0, digits: 3) },
            ].compactMap { $0 }, numericColumns: [1, 2])
    }

    private var comparisons: [any Figure] {
        func pair(
            _ title: String, _ unit: String, _ key: (Side) -> Double?, _ label: BarChart.ValueLabel = .number
        ) -> BarChart? {
            guard let first = key(before), let second = key(after) else { return nil }
            return BarChart(
                title: title, summary: "\(title): \(label.text(first)) before, \(label.text(second)) after.",
                categories: ["before", "after"], verticalTitle: unit,
                series: [.init(name: title, values: [first, second])], label: label)
        }
        return [
            pair("Size of the weights", "bytes", \.bytes, .bytes),
            pair("Perplexity, lower is better", "perplexity", \.perplexity),
        ].compactMap { $0 }
    }

    private var layerFigures: [any Figure] {
        func grid(_ value: (Weight) -> Double) -> LayerGrid {
            let matrices = after.weights.filter { $0.shape.count == 2 }
            return LayerGrid(names: matrices.map(\.name), values: matrices.map(value))
        }
        let sparsity = grid(\.sparsity)
        let bits = grid(\.bitsPerWeight)
        guard !sparsity.kinds.isEmpty else { return [] }
        let columns = sparsity.layers.map { "block \($0)" }
        func bitsOfLayers(_ side: Side) -> [Double] {
            sparsity.layers.map { layer in
                let members = side.weights.filter { $0.shape.count == 2 && $0.name.contains("layers.\(layer).") }
                let weights = members.reduce(0) { $0 + Double($1.shape.reduce(1, *)) }
                return weights > 0 ? members.reduce(0) { $0 + $1.bytes } * 8 / weights : .nan
            }
        }
        return [
            HeatStrip(
                title: "Sparsity by layer",
                summary: "Share of weights that are zero after compression, by kind and block.",
                rows: sparsity.kinds, columns: columns, values: sparsity.values),
            HeatStrip(
                title: "Bits per weight by layer", summary: "Bits per weight after compression, by kind and block.",
                rows: bits.kinds, columns: columns, values: bits.values, range: 0...16, label: .number),
            BarChart(
                title: "Bits per weight of each block", summary: "Bits per weight before and after, block by block.",
                categories: columns, verticalTitle: "bits",
                series: [
                    .init(name: "before", values: bitsOfLayers(before)),
                    .init(name: "after", values: bitsOfLayers(after)),
                ]),
        ]
    }

    private var histogramFigure: HistogramChart? {
        histograms.map { pair in
            HistogramChart(
                title: "Distribution of the compressed matrices' weights",
                summary: "Counts of weights by value before and after compression.",
                horizontalTitle: "weight / root mean square before", verticalTitle: "weights (logarithmic)",
                edges: pair.before.edges,
                series: [
                    .init(name: "before", counts: pair.before.counts.map(Double.init)),
                    .init(name: "after", counts: pair.after.counts.map(Double.init)),
                ], verticalSpacing: .logarithmic)
        }
    }

    private var tensors: HTMLTable {
        let earlier = Dictionary(before.weights.map { ($0.name, $0) }) { first, _ in first }
        return HTMLTable(
            head: ["tensor", "shape", "format", "bytes", "bits per weight", "zeros", "relative error"],
            rows: after.weights.map { weight in
                let old = earlier[weight.name]
                return [
                    weight.name, weight.shape.map(String.init).joined(separator: " × "),
                    [old?.format, weight.format].compactMap { $0 }.joined(separator: " → "),
                    [old?.bytes, weight.bytes].compactMap { $0 }.map(MarkupText.bytes).joined(separator: " → "),
                    MarkupText.number(weight.bitsPerWeight, digits: 3), MarkupText.percent(weight.sparsity),
                    weight.relativeError.map { MarkupText.percent($0, places: 2) } ?? MarkupText.missing,
                ]
            }, numericColumns: [3, 4, 5, 6])
    }
}
