import ArgumentParser

/// A number of parameters or multiplications: `80000`, `80k`, `1.5M`, `2G`, or a part of what there is, `30%`.
struct BudgetArgument: ExpressibleByArgument {
    private let amount: Double
    private let isPercentage: Bool

    init?(argument: String) {
        let factors: [Character: Double] = ["k": 1e3, "K": 1e3, "M": 1e6, "G": 1e9]
        let factor = argument.last.flatMap { factors[$0] }
        isPercentage = argument.hasSuffix("%")
        let digits = factor == nil && !isPercentage ? argument[...] : argument.dropLast()
        guard let number = Double(digits), number > 0, number.isFinite else { return nil }
        amount = number * (factor ?? 1)
        guard isPercentage ? amount <= 10_000 : amount <= 1e15 else { return nil }
    }

    /// As a number of at least 1, where percentages are of a total.
    func count(of total: Int) -> Int {
        max(1, Int((isPercentage ? amount / 100 * Double(total) : amount).rounded(.down)))
    }
}
