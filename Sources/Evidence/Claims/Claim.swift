/// One statement of a paper, what must be measured for it to hold, and what was measured.
///
/// Whether it holds follows from the comparisons and from nothing else.
public struct Claim: Sendable, Hashable {
    /// How a claim came out.
    public enum Verdict: String, Sendable, Hashable, CaseIterable {
        case holds
        case doesNotHold = "does not hold"
        case notMeasured = "not measured here"
    }

    /// A short stable name within its experiment, such as `sharp-drop`.
    public var id: String
    /// What is claimed.
    public var statement: String
    /// What the paper reports.
    public var paper: String
    /// What must be true here: the definition of "holds".
    public var criterion: String
    /// The measurements. The claim holds when there is one and all hold.
    public var comparisons: [Comparison]
    /// Why nothing was measured; nil for a claim that was.
    public var reason: String?
    /// What the reader should know to weigh the result.
    public var remark: String

    /// A claim that was measured.
    ///
    /// - Precondition: at least one comparison.
    public init(
        id: String, statement: String, paper: String, criterion: String, comparisons: [Comparison], remark: String = ""
    ) {
        precondition(!comparisons.isEmpty, "claim \(id) compares nothing")
        self.id = id
        self.statement = statement
        self.paper = paper
        self.criterion = criterion
        self.comparisons = comparisons
        reason = nil
        self.remark = remark
    }

    /// A claim that this run cannot measure.
    public init(id: String, statement: String, paper: String, criterion: String, notMeasured reason: String) {
        self.id = id
        self.statement = statement
        self.paper = paper
        self.criterion = criterion
        comparisons = []
        self.reason = reason
        remark = ""
    }

    /// A claim that some runs cannot measure.
    ///
    /// - Parameters:
    ///   - reason: why this one cannot; nil where it can.
    ///   - comparisons: asked for where it can.
    /// - Precondition: a reason or at least one comparison.
    public init(
        id: String, statement: String, paper: String, criterion: String, unless reason: String?,
        comparisons: @autoclosure () -> [Comparison], remark: @autoclosure () -> String = ""
    ) {
        if let reason {
            self.init(id: id, statement: statement, paper: paper, criterion: criterion, notMeasured: reason)
        } else {
            self.init(
                id: id, statement: statement, paper: paper, criterion: criterion, comparisons: comparisons(),
                remark: remark())
        }
    }

    public var verdict: Verdict {
        if reason != nil || comparisons.isEmpty { return .notMeasured }
        return comparisons.allSatisfy(\.holds) ? .holds : .doesNotHold
    }

    /// What was found, in words: the comparisons, or why there are none.
    public var here: String { reason ?? comparisons.map(\.description).joined(separator: "; ") }
}
