/// An expression of a template.
indirect enum JinjaExpression: Sendable {
    case literal(JinjaValue)
    case name(String)
    case list([JinjaExpression])
    case dictionary([(key: JinjaExpression, value: JinjaExpression)])
    case attribute(JinjaExpression, String)
    case index(JinjaExpression, JinjaExpression)
    case slice(JinjaExpression, from: JinjaExpression?, to: JinjaExpression?, by: JinjaExpression?)
    case call(JinjaExpression, JinjaArguments)
    case filter(JinjaExpression, String, JinjaArguments)
    case test(JinjaExpression, String, [JinjaExpression], isNegated: Bool)
    case unary(String, JinjaExpression)
    case binary(String, JinjaExpression, JinjaExpression)
    /// `a < b <= c`.
    case comparison(JinjaExpression, [(operation: String, value: JinjaExpression)])
    case conditional(condition: JinjaExpression, then: JinjaExpression, otherwise: JinjaExpression?)
    /// What errors inside are said to be at.
    case located(Int, JinjaExpression)
}

struct JinjaArguments: Sendable {
    var positional: [JinjaExpression] = []
    var named: [(name: String, value: JinjaExpression)] = []
}

/// A statement of a template.
indirect enum JinjaStatement: Sendable {
    case text(String)
    case output(JinjaExpression)
    case conditional([(condition: JinjaExpression, body: [JinjaStatement])], otherwise: [JinjaStatement])
    case loop(JinjaLoop)
    case set([JinjaTarget], JinjaExpression, line: Int)
    /// `{% set x %}…{% endset %}`, with filters.
    case capture(JinjaTarget, [JinjaStatement], filters: [(String, JinjaArguments)], line: Int)
    case macro(JinjaMacro)
    /// `{% filter x %}…{% endfilter %}`.
    case filtered([JinjaStatement], filters: [(String, JinjaArguments)], line: Int)
    case group([JinjaStatement])
    case evaluate(JinjaExpression)
    case breakLoop
    case continueLoop
}

enum JinjaTarget: Sendable {
    case name(String)
    /// A field of a namespace.
    case field(String, String)
}

struct JinjaLoop: Sendable {
    var targets: [String]
    var items: JinjaExpression
    var condition: JinjaExpression?
    var body: [JinjaStatement]
    var otherwise: [JinjaStatement]
    var line: Int
}

struct JinjaMacro: Sendable {
    var name: String
    var parameters: [(name: String, value: JinjaExpression?)]
    var body: [JinjaStatement]
    var line: Int
}
