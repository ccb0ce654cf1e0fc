import CoppiceNetworks
import Foundation

/// Whole widths near real ones, within budgets: rounded down, then, step by step, the width grows whose logarithm gains
/// most for what it costs, until none fits any more. Where widths are to follow the real ones, those that lack most of a
/// step grow first.
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

    /// - Parameter follows: whether widths come as near to the real ones as they can, before what is left of the budget
    ///   goes where it pays most.
    /// - Returns: nil where not even the least widths fit.
    /// - Complexity: O(widths · dependents of one) for each step.
    func callAsFunction(_ exact: [Double], follows: Bool = false) -> [Int]? {
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
        while follows, let step = nearest(widths, size, to: exact) {
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
        /// What it changes of the load.
        var cost: Double
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
        var found: (step: Step, worth: Double)?
        for index in widths.indices {
            guard let step = step(of: index, widths, size, growing: growing) else { continue }
            let gain = weights[index] * abs(log(Double(step.width) / Double(widths[index])))
            let worth = growing ? gain / step.cost : step.cost / gain
            if worth > found?.worth ?? 0 { found = (step, worth) }
        }
        return found?.step
    }

    /// The step up of the width that lacks most of one to its real width; nil where none lacks any or fits.
    private func nearest(_ widths: [Int], _ size: Size, to exact: [Double]) -> Step? {
        var found: (step: Step, lack: Double)?
        for index in widths.indices where exact[index] > Double(widths[index]) * (1 + 1e-9) {
            guard let step = step(of: index, widths, size, growing: true) else { continue }
            let lack = (exact[index] - Double(widths[index])) / Double(step.width - widths[index])
            if lack > found?.lack ?? 0 { found = (step, lack) }
        }
        return found?.step
    }

    /// The next width up or down; nil where there is none, or it does not fit.
    private func step(of index: Int, _ widths: [Int], _ size: Size, growing: Bool) -> Step? {
        let own = widths[index]
        let width =
            growing
            ? min(program.most[index], (own / rounding + 1) * rounding)
            : max(program.least[index], (own - 1) / rounding * rounding)
        guard width != own, keepsOrder(widths, index, width) else { return nil }
        var (trial, changed) = (widths, size)
        trial[index] = width
        for entry in dependents[index] {
            let change = entry.count(trial) - entry.count(widths)
            changed.parameters += change
            changed.multiplications += change * entry.uses
        }
        let after = load(changed)
        guard !growing || after <= 1 else { return nil }
        return Step(index: index, width: width, size: changed, cost: max(abs(after - load(size)), 1e-300))
    }

    private func keepsOrder(_ widths: [Int], _ index: Int, _ width: Int) -> Bool {
        structure.ascents.allSatisfy { lower, upper in
            if lower == index { return width <= widths[upper] }
            if upper == index { return width >= widths[lower] }
            return true
        }
    }
}
