import CoppiceTensors

/// Parses the tokens of a template into statements.
struct JinjaParser {
    private let tokens: [JinjaLexer.Located]
    private var position = 0
    private var depth = 0
    private var loopDepth = 0

    init(_ tokens: [JinjaLexer.Located]) {
        self.tokens = tokens
    }

    mutating func template() throws -> [JinjaStatement] {
        let body = try statements(until: [])
        guard peek == .end else { throw error("unexpected \(describe(peek))") }
        return body
    }

    // MARK: Tokens

    var peek: JinjaLexer.Token { tokens[min(position, tokens.count - 1)].token }
    var line: Int { tokens[min(position, tokens.count - 1)].line }

    func peek(ahead: Int) -> JinjaLexer.Token { tokens[min(position + ahead, tokens.count - 1)].token }

    @discardableResult
    mutating func next() -> JinjaLexer.Token {
        defer { position += 1 }
        return peek
    }

    mutating func take(_ symbol: String) -> Bool {
        guard peek == .symbol(symbol) else { return false }
        position += 1
        return true
    }

    mutating func takeName(_ name: String) -> Bool {
        guard peek == .name(name) else { return false }
        position += 1
        return true
    }

    mutating func expect(_ symbol: String) throws {
        guard take(symbol) else { throw error("expected \(symbol), found \(describe(peek))") }
    }

    mutating func name() throws -> String {
        guard case .name(let name) = peek else { throw error("expected a name, found \(describe(peek))") }
        position += 1
        return name
    }

    func error(_ message: String) -> CoppiceError { JinjaError.at(line, message) }

    func describe(_ token: JinjaLexer.Token) -> String {
        switch token {
        case .text: "text"
        case .outputBegin: "{{"
        case .outputEnd: "}}"
        case .blockBegin: "{%"
        case .blockEnd: "%}"
        case .name(let name): name
        case .string(let text): "the string '\(text.prefix(40))'"
        case .integer(let value): String(value)
        case .float(let value): String(value)
        case .symbol(let symbol): symbol
        case .end: "the end of the template"
        }
    }

    mutating func nested<Result>(_ body: (inout JinjaParser) throws -> Result) throws -> Result {
        depth += 1
        defer { depth -= 1 }
        guard depth <= JinjaLimits.nesting else { throw error("nested deeper than \(JinjaLimits.nesting) levels") }
        return try body(&self)
    }

    // MARK: Statements

    /// Reads statements up to a block of one of the names, whose `{%` and name are consumed.
    private mutating func statements(until ends: [String]) throws -> [JinjaStatement] {
        var body: [JinjaStatement] = []
        while true {
            switch peek {
            case .text(let text):
                next()
                body.append(.text(text))
            case .outputBegin:
                next()
                let expression = try expressionOrTuple()
                guard peek == .outputEnd else { throw error("expected }}, found \(describe(peek))") }
                next()
                body.append(.output(expression))
            case .blockBegin:
                if case .name(let name) = peek(ahead: 1), ends.contains(name) {
                    next()
                    return body
                }
                next()
                body.append(try nested { try $0.block() })
            default:
                if !ends.isEmpty { throw error("expected {% \(ends.joined(separator: " %} or {% ")) %}") }
                return body
            }
        }
    }

    private mutating func endBlock() throws {
        guard peek == .blockEnd else { throw error("expected %}, found \(describe(peek))") }
        next()
    }

    private mutating func block() throws -> JinjaStatement {
        let line = line
        let keyword = try name()
        switch keyword {
        case "if": return try conditional()
        case "for": return try loop(line)
        case "set": return try assignment(line)
        case "macro": return try macro(line)
        case "filter":
            let filters = try filterChain()
            try endBlock()
            let body = try body(until: "endfilter")
            return .filtered(body, filters: filters, line: line)
        case "generation":
            try endBlock()
            return .group(try body(until: "endgeneration"))
        case "do":
            let expression = try expressionOrTuple()
            try endBlock()
            return .evaluate(expression)
        case "break", "continue":
            guard loopDepth > 0 else { throw JinjaError.at(line, "\(keyword) outside of a loop") }
            try endBlock()
            return keyword == "break" ? .breakLoop : .continueLoop
        default: throw JinjaError.at(line, "the statement \(keyword) is not known")
        }
    }

    private mutating func body(until end: String) throws -> [JinjaStatement] {
        let body = try statements(until: [end])
        next()
        try endBlock()
        return body
    }

    private mutating func conditional() throws -> JinjaStatement {
        var branches: [(JinjaExpression, [JinjaStatement])] = []
        while true {
            let condition = try expressionOrTuple()
            try endBlock()
            let body = try statements(until: ["elif", "else", "endif"])
            branches.append((condition, body))
            let keyword = try name()
            if keyword == "elif" { continue }
            try endBlock()
            let otherwise = keyword == "else" ? try self.body(until: "endif") : []
            return .conditional(branches, otherwise: otherwise)
        }
    }

    private mutating func loop(_ line: Int) throws -> JinjaStatement {
        var targets = [try targetName()]
        while take(",") { targets.append(try targetName()) }
        guard takeName("in") else { throw error("expected in, found \(describe(peek))") }
        let items = try expression(withCondition: false)
        let condition = takeName("if") ? try expression() : nil
        if takeName("recursive") { throw error("recursive loops are not supported") }
        try endBlock()
        loopDepth += 1
        let body = try statements(until: ["else", "endfor"])
        loopDepth -= 1
        let keyword = try name()
        try endBlock()
        let otherwise = keyword == "else" ? try self.body(until: "endfor") : []
        return .loop(
            JinjaLoop(
                targets: targets, items: items, condition: condition, body: body, otherwise: otherwise, line: line))
    }

    private mutating func targetName() throws -> String {
        if take("(") {
            defer { _ = take(")") }
            return try name()
        }
        return try name()
    }

    private mutating func assignment(_ line: Int) throws -> JinjaStatement {
        var targets = [try target()]
        while take(",") { targets.append(try target()) }
        if take("=") {
            let value = try expressionOrTuple()
            try endBlock()
            return .set(targets, value, line: line)
        }
        let filters = take("|") ? try filterChain() : []
        try endBlock()
        return .capture(targets[0], try body(until: "endset"), filters: filters, line: line)
    }

    private mutating func target() throws -> JinjaTarget {
        let name = try name()
        return take(".") ? .field(name, try self.name()) : .name(name)
    }

    private mutating func filterChain() throws -> [(String, JinjaArguments)] {
        var filters: [(String, JinjaArguments)] = []
        repeat {
            let name = try name()
            filters.append((name, peek == .symbol("(") ? try arguments() : JinjaArguments()))
        } while take("|")
        return filters
    }

    private mutating func macro(_ line: Int) throws -> JinjaStatement {
        let name = try name()
        try expect("(")
        var parameters: [(String, JinjaExpression?)] = []
        while !take(")") {
            let parameter = try self.name()
            parameters.append((parameter, take("=") ? try expression() : nil))
            if !take(","), peek != .symbol(")") { throw error("expected , or ), found \(describe(peek))") }
        }
        try endBlock()
        let outer = loopDepth
        loopDepth = 0
        let body = try body(until: "endmacro")
        loopDepth = outer
        return .macro(JinjaMacro(name: name, parameters: parameters, body: body, line: line))
    }
}
