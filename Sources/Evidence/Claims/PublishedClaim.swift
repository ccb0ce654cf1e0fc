/// What a paper claims, whether it is measured or not: the cases of an experiment's part, in the order of its report.
protocol PublishedClaim: RawRepresentable<String>, CaseIterable {
    var statement: String { get }
    /// What the paper reports.
    var paper: String { get }
    /// What has to be true for the claim to hold.
    var criterion: String { get }
}

extension PublishedClaim {
    /// Judged by what was measured.
    func measured(_ comparisons: [Comparison], remark: String = "") -> Claim {
        Claim(
            id: rawValue, statement: statement, paper: paper, criterion: criterion, comparisons: comparisons,
            remark: remark)
    }

    /// Left open.
    func notMeasured(_ reason: String) -> Claim {
        Claim(id: rawValue, statement: statement, paper: paper, criterion: criterion, notMeasured: reason)
    }
}
