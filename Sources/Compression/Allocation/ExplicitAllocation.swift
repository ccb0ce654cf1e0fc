import CoppiceModels
import CoppiceTensors
import CoppiceTraining

/// Budgets that the caller sets: weights that a pattern names lose what it says, the others the sparsity that pruning is
/// asked for, each.
///
/// ```swift
/// try prunable.prune(
///     by: .magnitude, allocation: ExplicitAllocation([.init("fc1", sparsity: 0.95), .init("fc3", kept: 500)]), to: 0.5)
/// ```
///
/// A pattern that is a weight's whole name means that weight alone. In several steps (``SurgeonPruning``, the schedules
/// of recipes) each weight is on a ramp to its own budget: ``path(to:of:from:along:)``.
public struct ExplicitAllocation: Allocation {
    /// What the weights that a pattern matches lose.
    public struct Budget: Sendable, Hashable {
        /// How much is said to be gone.
        public enum Amount: Sendable, Hashable, CustomStringConvertible {
            /// The fraction that goes, in `[0, 1)`.
            case sparsity(Double)
            /// The number of weights that stay, at least one.
            case kept(Int)

            public var description: String {
                switch self {
                case .sparsity(let sparsity): "\(sparsity)"
                case .kept(let kept): "\(kept) kept"
                }
            }
        }

        public var pattern: WeightPattern
        public var amount: Amount

        public init(_ pattern: String, sparsity: Double) {
            (self.pattern, amount) = (WeightPattern(pattern), .sparsity(sparsity))
        }

        public init(_ pattern: String, kept: Int) { (self.pattern, amount) = (WeightPattern(pattern), .kept(kept)) }
    }

    public var budgets: [Budget]

    public init(_ budgets: [Budget]) { self.budgets = budgets }

    /// - Throws: `.usage` for a sparsity outside [0, 1), a number kept that is not from 1 to the weight's size, a pattern
    ///   that matches nothing (with the nearest name), or a weight that two budgets name.
    public func check(_ weights: [PrunableWeight], sparsity: Double) throws {
        _ = try counts(weights, sparsity: sparsity)
    }

    /// - Throws: `.usage` naming a weight that has lost more than its budget already, and where the weights that no
    ///   budget names have lost more than the sparsity.
    public func check(_ weights: [PrunableWeight], sparsity: Double, removed: [Int]) throws {
        let owners = try owners(of: weights)
        for (index, count) in try counts(weights, sparsity: sparsity).enumerated() {
            guard let owner = owners[index], 0 < count, count < removed[index] else { continue }
            throw CoppiceError(
                .usage, field: "budgets.\(owner.pattern.text)",
                "\(owner.amount) removes \(count) of the \(weights[index].count) weights of \(weights[index].name), of "
                    + "which \(removed[index]) are removed already; removed weights do not return")
        }
        let others = weights.indices.filter { owners[$0] == nil }
        try UniformAllocation().check(
            others.map { weights[$0] }, sparsity: sparsity, removed: others.map { removed[$0] })
    }

    public func removedCounts(
        _ weights: [PrunableWeight], sparsity: Double, scores: (Int) throws -> Tensor
    ) throws -> [Int] {
        try counts(weights, sparsity: sparsity)
    }

    /// Each weight rises to its own budget, those that have lost more already stay.
    public func path(
        to sparsity: Double, of weights: [PrunableWeight], from removed: [Int], along ramp: SparsityRamp
    ) throws -> (sparsity: Double, allocation: any Allocation) {
        let goal = zip(try counts(weights, sparsity: sparsity), removed).map(max)
        let count = weights.reduce(0) { $0 + $1.count }
        return (
            Double(goal.reduce(0, +)) / Double(max(1, count)), BudgetRamp(ramp: ramp, start: removed, goal: goal)
        )
    }

    /// The budget that names each weight.
    private func owners(of weights: [PrunableWeight]) throws -> [Budget?] {
        let names = weights.map(\.name)
        var owners = [Budget?](repeating: nil, count: weights.count)
        for budget in budgets {
            let text = budget.pattern.text
            let matched = weights.indices.filter {
                names.contains(text) ? names[$0] == text : budget.pattern.matches(names[$0])
            }
            if matched.isEmpty {
                throw CoppiceError(.usage, field: "budgets", "\"\(text)\" matches no weight" + Self.hint(text, names))
            }
            for index in matched {
                if let other = owners[index], other.amount != budget.amount {
                    throw CoppiceError(
                        .usage, field: "budgets",
                        "\(names[index]) is named by \"\(other.pattern)\" and \"\(text)\", expected one budget")
                }
                owners[index] = budget
            }
        }
        return owners
    }

    private func counts(_ weights: [PrunableWeight], sparsity: Double) throws -> [Int] {
        try zip(weights, owners(of: weights)).map { weight, owner in
            switch owner?.amount ?? .sparsity(sparsity) {
            case .sparsity(let share):
                guard share >= 0, share < 1 else {
                    throw CoppiceError(
                        .usage, field: "budgets.\(owner?.pattern.text ?? weight.name)",
                        "\(share), expected a sparsity from 0 to below 1")
                }
                return ExactSelection.removedCount(weight.count, sparsity: share)
            case .kept(let kept):
                guard (1...max(1, weight.count)).contains(kept) else {
                    throw CoppiceError(
                        .usage, field: "budgets.\(owner?.pattern.text ?? weight.name)",
                        "\(kept), expected to keep 1 to \(weight.count) weights of \(weight.name)")
                }
                return max(0, weight.count - kept)
            }
        }
    }

    /// The nearest name, or part of names where a pattern is one.
    private static func hint(_ text: String, _ names: [String]) -> String {
        let parts = names.flatMap { $0.split(separator: ".").map(String.init) }.filter { Int($0) == nil }
        let candidates = text.contains(".") ? names : names + Array(Set(parts)).sorted()
        let letters = Array(text.lowercased().prefix(40))
        let nearest = candidates.min { Spelling.distance(letters, Array($0)) < Spelling.distance(letters, Array($1)) }
        return nearest.map { "; the nearest is \"\($0)\"" } ?? ""
    }
}
