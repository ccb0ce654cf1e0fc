import CoppiceNetworks
import Foundation

/// Whole widths near real ones, within budgets: rounded down, then, step by step, the width grows whose logarithm gains
/// most for what it costs, until none fits any more.
struct WidthRounding {
    private let program: ChannelProgram
    private let rounding: Int
    private let parameters: Int?
    private let multiplications: Int?
    private let weights: [Double]
    /// The entries whose size depends on a width.
    private let dependents: [[StructuredEntry]]

    private var structure: any WidthStructure { program.structure }

    init(_ program: ChannelProgram, rounding: Int, parameters: Int?, multiplications: Int?) {
        self.program = program
        self.rounding = rounding
        self.parameters = parameters
        self.multiplications = multiplications
        weights = program.weights
        var dependents = [[StructuredEntry]](repeating: [], count: weights.count)
        for entry in program.structure.entries where entry.isTrainable {
            for width in Set(entry.axes.flatMap { $0.terms.map(\.width) }) { dependents[width].append(entry) }
        }
        self.dependents = dependents
    }

    /// - Returns: nil where not even the least widths fit.
    /// - Complexity: O(widths · dependents of one) for each step.
    func callAsFunction(_ exact: [Double]) -> [Int]? {
        var widths = exact.indices.map { index in
            // A hair below a multiple counts as that multiple.
            let whole = Int((exact[index] * (1 + 1e-9)).rounded(.down))
            return floor(min(whole, program.most[index]), index)
        }
        // A full width need not be a multiple: what must not be narrower may have been floored below it.
        for (lower, upper) in structure.ascents.reversed() where widths[lower] > widths[upper] {
            widths[lower] = floor(widths[upper], lower)
        }
        var size = Size(structure.parameterCount(widths), structure.multiplications(widths))
        // The least widths may be more than the real ones: others make up for them.
        while load(size) > 1 {
            guard let step = best(widths, size, growing: false) else { return nil }
            (widths[step.index], size) = (step.width, step.size)
        }
        while let step = best(widths, size, growing: true) {
            (widths[step.index], size) = (step.width, step.size)
        }
        return widths
    }

    /// Parameters and multiplications.
    private struct Size {
        var parameters: Int
        var multiplications: Int

        init(_ parameters: Int, _ multiplications: Int) {
            self.parameters = parameters
            self.multiplications = multiplications
        }
    }

    private struct Step {
        var index: Int
        var width: Int
        var size: Size
        var worth: Double
    }

    /// The largest width that is allowed and not above one.
    private func floor(_ width: Int, _ index: Int) -> Int {
        width >= program.most[index] ? program.most[index] : max(program.least[index], width / rounding * rounding)
    }

    /// The largest part of a budget that is used.
    private func load(_ size: Size) -> Double {
        max(
            parameters.map { Double(size.parameters) / Double($0) } ?? 0,
            multiplications.map { Double(size.multiplications) / Double($0) } ?? 0)
    }

    /// The step of one width that pays best: the most gained (or least lost) of Σ weight · log width for what it costs.
    private func best(_ widths: [Int], _ size: Size, growing: Bool) -> Step? {
        let before = load(size)
        var found: Step?
        var trial = widths
        for index in widths.indices {
            let own = widths[index]
            let width =
                growing
                ? min(program.most[index], (own / rounding + 1) * rounding)
                : max(program.least[index], (own - 1) / rounding * rounding)
            guard width != own, keepsOrder(widths, index, width) else { continue }
            var changed = size
            trial[index] = width
            for entry in dependents[index] {
                let change = entry.count(trial) - entry.count(widths)
                changed.parameters += change
                changed.multiplications += change * entry.uses
            }
            trial[index] = own
            let after = load(changed)
            if growing, after > 1 { continue }
            let gain = weights[index] * abs(log(Double(width) / Double(own)))
            let cost = max(abs(after - before), 1e-300)
            let worth = growing ? gain / cost : cost / gain
            if worth > found?.worth ?? 0 { found = Step(index: index, width: width, size: changed, worth: worth) }
        }
        return found
    }

    private func keepsOrder(_ widths: [Int], _ index: Int, _ width: Int) -> Bool {
        structure.ascents.allSatisfy { lower, upper in
            if lower == index { return width <= widths[upper] }
            if upper == index { return width >= widths[lower] }
            return true
        }
    }
}
