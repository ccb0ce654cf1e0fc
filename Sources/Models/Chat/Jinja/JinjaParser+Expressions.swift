extension JinjaParser {
    /// An expression, or several with commas between, which are a list.
    mutating func expressionOrTuple() throws -> JinjaExpression {
        let first = try expression()
        guard peek == .symbol(",") else { return first }
        var elements = [first]
        while take(",") {
            if peek == .outputEnd || peek == .blockEnd || peek == .symbol(")") { break }
            elements.append(try expression())
        }
        return .list(elements)
    }

    mutating func expression(withCondition: Bool = true) throws -> JinjaExpression {
        try nested { parser in
            let line = parser.line
            var result = try parser.disjunction()
            while withCondition, parser.takeName("if") {
                let condition = try parser.disjunction()
                let otherwise = parser.takeName("else") ? try parser.expression() : nil
                result = .conditional(condition: condition, then: result, otherwise: otherwise)
            }
            return .located(line, result)
        }
    }

    private mutating func disjunction() throws -> JinjaExpression {
        var result = try conjunction()
        while takeName("or") { result = .binary("or", result, try conjunction()) }
        return result
    }

    private mutating func conjunction() throws -> JinjaExpression {
        var result = try negation()
        while takeName("and") { result = .binary("and", result, try negation()) }
        return result
    }

    private mutating func negation() throws -> JinjaExpression {
        if takeName("not") { return .unary("not", try nested { try $0.negation() }) }
        return try comparison()
    }

    private mutating func comparison() throws -> JinjaExpression {
        let first = try sum()
        var rest: [(String, JinjaExpression)] = []
        while true {
            if case .symbol(let symbol) = peek, ["==", "!=", "<", ">", "<=", ">="].contains(symbol) {
                next()
                rest.append((symbol, try sum()))
            } else if takeName("in") {
                rest.append(("in", try sum()))
            } else if peek == .name("not"), peek(ahead: 1) == .name("in") {
                next()
                next()
                rest.append(("not in", try sum()))
            } else {
                return rest.isEmpty ? first : .comparison(first, rest)
            }
        }
    }

    private mutating func sum() throws -> JinjaExpression {
        var result = try concatenation()
        while case .symbol(let symbol) = peek, symbol == "+" || symbol == "-" {
            next()
            result = .binary(symbol, result, try concatenation())
        }
        return result
    }

    private mutating func concatenation() throws -> JinjaExpression {
        var result = try product()
        while take("~") { result = .binary("~", result, try product()) }
        return result
    }

    private mutating func product() throws -> JinjaExpression {
        var result = try power()
        while case .symbol(let symbol) = peek, ["*", "/", "//", "%"].contains(symbol) {
            next()
            result = .binary(symbol, result, try power())
        }
        return result
    }

    private mutating func power() throws -> JinjaExpression {
        var result = try unary()
        while take("**") { result = .binary("**", result, try unary()) }
        return result
    }

    private mutating func unary(withFilters: Bool = true) throws -> JinjaExpression {
        var result: JinjaExpression
        if case .symbol(let symbol) = peek, symbol == "-" || symbol == "+" {
            next()
            result = .unary(symbol, try nested { try $0.unary(withFilters: false) })
        } else {
            result = try postfix(try primary())
        }
        while withFilters {
            if take("|") {
                let name = try name()
                result = .filter(result, name, peek == .symbol("(") ? try arguments() : JinjaArguments())
            } else if takeName("is") {
                result = try test(result)
            } else {
                break
            }
        }
        return result
    }

    private mutating func test(_ value: JinjaExpression) throws -> JinjaExpression {
        let isNegated = takeName("not")
        let name = try name()
        var values: [JinjaExpression] = []
        switch peek {
        case .symbol("("): values = try arguments().positional
        case .name(let word) where !["else", "or", "and", "is", "if", "in", "not"].contains(word):
            values = [try postfix(try primary())]
        case .string, .integer, .float, .symbol("["), .symbol("{"): values = [try postfix(try primary())]
        default: break
        }
        return .test(value, name, values, isNegated: isNegated)
    }

    private mutating func postfix(_ start: JinjaExpression) throws -> JinjaExpression {
        var result = start
        while true {
            let line = line
            if take(".") {
                if case .integer(let index) = peek {
                    next()
                    result = .index(result, .literal(.integer(index)))
                } else {
                    result = .attribute(result, try name())
                }
            } else if take("[") {
                result = .located(line, try subscripted(result))
            } else if peek == .symbol("(") {
                result = .located(line, .call(result, try arguments()))
            } else {
                return result
            }
        }
    }

    private mutating func subscripted(_ base: JinjaExpression) throws -> JinjaExpression {
        var bounds: [JinjaExpression?] = [nil]
        while !take("]") {
            if take(":") {
                bounds.append(nil)
                guard bounds.count <= 3 else { throw error("a slice has at most three parts") }
            } else {
                guard bounds[bounds.count - 1] == nil else { throw error("expected ], found \(describe(peek))") }
                bounds[bounds.count - 1] = try expression()
            }
        }
        if bounds.count == 1 {
            guard let index = bounds[0] else { throw error("expected an index") }
            return .index(base, index)
        }
        return .slice(base, from: bounds[0], to: bounds[1], by: bounds.count > 2 ? bounds[2] : nil)
    }

    mutating func arguments() throws -> JinjaArguments {
        try expect("(")
        var result = JinjaArguments()
        while !take(")") {
            if case .name(let name) = peek, peek(ahead: 1) == .symbol("=") {
                next()
                next()
                result.named.append((name, try expression()))
            } else {
                guard result.named.isEmpty else { throw error("a positional argument after a named one") }
                result.positional.append(try expression())
            }
            if !take(","), peek != .symbol(")") { throw error("expected , or ), found \(describe(peek))") }
        }
        return result
    }

    private mutating func primary() throws -> JinjaExpression {
        switch peek {
        case .name(let name):
            next()
            switch name {
            case "true", "True": return .literal(.boolean(true))
            case "false", "False": return .literal(.boolean(false))
            case "none", "None": return .literal(.none)
            default: return .name(name)
            }
        case .string(var text):
            next()
            while case .string(let more) = peek {
                text += more
                next()
            }
            return .literal(.string(text))
        case .integer(let value):
            next()
            return .literal(.integer(value))
        case .float(let value):
            next()
            return .literal(.float(value))
        case .symbol("("):
            next()
            if take(")") { return .list([]) }
            let inner = try expressionOrTuple()
            try expect(")")
            return inner
        case .symbol("["):
            next()
            var elements: [JinjaExpression] = []
            while !take("]") {
                elements.append(try expression())
                if !take(","), peek != .symbol("]") { throw error("expected , or ], found \(describe(peek))") }
            }
            return .list(elements)
        case .symbol("{"):
            next()
            var members: [(JinjaExpression, JinjaExpression)] = []
            while !take("}") {
                let key = try expression()
                try expect(":")
                members.append((key, try expression()))
                if !take(","), peek != .symbol("}") { throw error("expected , or }, found \(describe(peek))") }
            }
            return .dictionary(members)
        default: throw error("expected an expression, found \(describe(peek))")
        }
    }
}
