import CoppiceTensors
import Foundation
import OrderedCollections

/// Runs a template. One use each, on one thread.
final class JinjaInterpreter {
    /// Variables of a block, and those around it.
    final class Scope {
        var variables: [String: JinjaValue] = [:]
        let parent: Scope?

        init(_ parent: Scope?) {
            self.parent = parent
        }

        func find(_ name: String) -> JinjaValue? {
            var scope: Scope? = self
            while let current = scope {
                if let value = current.variables[name] { return value }
                scope = current.parent
            }
            return nil
        }
    }

    private enum Flow {
        case normal, breaking, continuing
    }

    private var output: [UInt8] = []
    var scope: Scope
    private var steps = 0
    private var callDepth = 0
    private(set) var line = 1
    let date: Date

    init(variables: [String: JSON], date: Date) {
        self.date = date
        let globals = Scope(nil)
        globals.variables = JinjaGlobals.functions
        scope = Scope(globals)
        for (name, value) in variables { scope.variables[name] = JinjaValue(value) }
    }

    func run(_ body: [JinjaStatement]) throws -> String {
        _ = try execute(body)
        return String(decoding: output, as: UTF8.self)
    }

    func error(_ message: String) -> CoppiceError { JinjaError.at(line, message) }

    func count(_ work: Int = 1) throws {
        steps += work
        if steps > JinjaLimits.steps { throw error("the template takes more than \(JinjaLimits.steps) steps") }
    }

    /// Checks and counts a text that was just made.
    func made(_ text: String) throws -> JinjaValue {
        guard text.utf8.count <= JinjaLimits.text else {
            throw error("a text is longer than \(JinjaLimits.text) bytes")
        }
        try count(text.utf8.count / 64)
        return .string(text)
    }

    func made(_ elements: [JinjaValue]) throws -> JinjaValue {
        guard elements.count <= JinjaLimits.elements else {
            throw error("a list has more than \(JinjaLimits.elements) elements")
        }
        try count(elements.count / 8)
        return .list(elements)
    }

    private func write(_ text: String) throws {
        output += text.utf8
        if output.count > JinjaLimits.text { throw error("the text is longer than \(JinjaLimits.text) bytes") }
    }

    // MARK: Statements

    private func execute(_ body: [JinjaStatement]) throws -> Flow {
        for statement in body {
            let flow = try execute(statement)
            if case .normal = flow { continue }
            return flow
        }
        return .normal
    }

    private func execute(_ statement: JinjaStatement) throws -> Flow {
        try count()
        switch statement {
        case .text(let text): try write(text)
        case .output(let expression): try write(try evaluate(expression).text)
        case .conditional(let branches, let otherwise):
            for (condition, body) in branches where try evaluate(condition).isTrue { return try execute(body) }
            return try execute(otherwise)
        case .loop(let loop): try run(loop)
        case .set(let targets, let expression, let line):
            let value = try evaluate(expression)
            self.line = line
            if targets.count == 1 { return try assign(targets[0], value) }
            guard case .list(let values) = value, values.count == targets.count else {
                throw error("expected \(targets.count) values, found \(value.kind)")
            }
            for (target, value) in zip(targets, values) { _ = try assign(target, value) }
        case .capture(let target, let body, let filters, let line):
            let text = try capture { try $0.execute(body) }
            self.line = line
            return try assign(target, try apply(filters, to: text))
        case .filtered(let body, let filters, let line):
            let text = try capture { try $0.execute(body) }
            self.line = line
            try write(try apply(filters, to: text).text)
        case .macro(let macro): scope.variables[macro.name] = function(of: macro)
        case .group(let body): return try execute(body)
        case .evaluate(let expression): _ = try evaluate(expression)
        case .breakLoop: return .breaking
        case .continueLoop: return .continuing
        }
        return .normal
    }

    private func assign(_ target: JinjaTarget, _ value: JinjaValue) throws -> Flow {
        switch target {
        case .name(let name): scope.variables[name] = value
        case .field(let name, let field):
            guard case .namespace(let namespace)? = scope.find(name) else {
                throw error("\(name).\(field) cannot be set: \(name) is no namespace")
            }
            namespace.fields[field] = value
        }
        return .normal
    }

    private func apply(_ filters: [(String, JinjaArguments)], to text: String) throws -> JinjaValue {
        try filters.reduce(.string(text)) { try filter($1.0, $0, try call($1.1)) }
    }

    private func capture(_ body: (JinjaInterpreter) throws -> Flow) throws -> String {
        let outer = output
        output = []
        defer { output = outer }
        _ = try body(self)
        return String(decoding: output, as: UTF8.self)
    }

    private func withScope<Result>(_ inner: Scope, _ body: () throws -> Result) rethrows -> Result {
        let outer = scope
        scope = inner
        defer { scope = outer }
        return try body()
    }

    private func run(_ loop: JinjaLoop) throws {
        var items = try elements(of: try evaluate(loop.items))
        if let condition = loop.condition {
            items = try items.filter { item in
                try withScope(Scope(scope)) {
                    try bind(loop.targets, to: item)
                    return try evaluate(condition).isTrue
                }
            }
        }
        line = loop.line
        if items.isEmpty {
            _ = try withScope(Scope(scope)) { try execute(loop.otherwise) }
            return
        }
        for index in items.indices {
            let flow = try withScope(Scope(scope)) {
                try bind(loop.targets, to: items[index])
                scope.variables["loop"] = .dictionary(Self.loopVariables(index, items))
                return try execute(loop.body)
            }
            if case .breaking = flow { break }
        }
    }

    private func bind(_ targets: [String], to item: JinjaValue) throws {
        try count()
        if targets.count == 1 {
            scope.variables[targets[0]] = item
            return
        }
        guard case .list(let values) = item, values.count == targets.count else {
            throw error("expected \(targets.count) values for \(targets.joined(separator: ", ")), found \(item.kind)")
        }
        for (target, value) in zip(targets, values) { scope.variables[target] = value }
    }

    private static func loopVariables(_ index: Int, _ items: [JinjaValue]) -> OrderedDictionary<String, JinjaValue> {
        let count = items.count
        return [
            "index": .integer(index + 1), "index0": .integer(index), "revindex": .integer(count - index),
            "revindex0": .integer(count - index - 1), "first": .boolean(index == 0),
            "last": .boolean(index == count - 1), "length": .integer(count), "depth": .integer(1),
            "depth0": .integer(0), "previtem": index > 0 ? items[index - 1] : .undefined("previtem"),
            "nextitem": index + 1 < count ? items[index + 1] : .undefined("nextitem"),
            "cycle": .function(
                JinjaFunction(name: "cycle") { interpreter, call in
                    guard !call.positional.isEmpty else { throw interpreter.error("cycle: expected values") }
                    return call.positional[index % call.positional.count]
                }),
        ]
    }

    private func function(of macro: JinjaMacro) -> JinjaValue {
        // A scope is a class that is used by this rendering alone.
        nonisolated(unsafe) let definition = scope
        return .function(
            JinjaFunction(name: macro.name) { interpreter, call in
                let inner = Scope(definition)
                for (index, parameter) in macro.parameters.enumerated() {
                    if let value = call.argument(index, parameter.name) {
                        inner.variables[parameter.name] = value
                    } else if let value = parameter.value {
                        inner.variables[parameter.name] = try interpreter.withScope(inner) {
                            try interpreter.evaluate(value)
                        }
                    } else {
                        inner.variables[parameter.name] = .undefined(parameter.name)
                    }
                }
                guard call.positional.count <= macro.parameters.count else {
                    throw interpreter.error("\(macro.name): expected at most \(macro.parameters.count) arguments")
                }
                return .string(
                    try interpreter.capture { interpreter in
                        try interpreter.withScope(inner) { try interpreter.execute(macro.body) }
                    })
            })
    }

    // MARK: Expressions

    func evaluate(_ expression: JinjaExpression) throws -> JinjaValue {
        try count()
        switch expression {
        case .located(let line, let inner):
            self.line = line
            return try evaluate(inner)
        case .literal(let value): return value
        case .name(let name): return scope.find(name) ?? .undefined(name)
        case .list(let elements): return .list(try elements.map(evaluate))
        case .dictionary(let members):
            var result: OrderedDictionary<String, JinjaValue> = [:]
            for (key, value) in members { result[try evaluate(key).text] = try evaluate(value) }
            return .dictionary(result)
        case .attribute(let base, let name): return try attribute(try evaluate(base), name)
        case .index(let base, let index): return try element(try evaluate(base), try evaluate(index))
        case .slice(let base, let from, let to, let step):
            return try slice(
                try evaluate(base), try from.map(evaluate), try to.map(evaluate), try step.map(evaluate))
        case .call(let callee, let arguments): return try call(callee, arguments)
        case .filter(let value, let name, let arguments):
            return try filter(name, try evaluate(value), try call(arguments))
        case .test(let value, let name, let arguments, let isNegated):
            return .boolean(try test(name, try evaluate(value), try arguments.map(evaluate)) != isNegated)
        case .unary(let operation, let value): return try unary(operation, try evaluate(value))
        case .binary("and", let left, let right):
            let first = try evaluate(left)
            return first.isTrue ? try evaluate(right) : first
        case .binary("or", let left, let right):
            let first = try evaluate(left)
            return first.isTrue ? first : try evaluate(right)
        case .binary(let operation, let left, let right):
            return try binary(operation, try evaluate(left), try evaluate(right))
        case .comparison(let first, let rest):
            var left = try evaluate(first)
            for (operation, expression) in rest {
                let right = try evaluate(expression)
                guard try compare(operation, left, right) else { return .boolean(false) }
                left = right
            }
            return .boolean(true)
        case .conditional(let condition, let then, let otherwise):
            if try evaluate(condition).isTrue { return try evaluate(then) }
            return try otherwise.map(evaluate) ?? .undefined("the value of an if without else")
        }
    }

    func call(_ arguments: JinjaArguments) throws -> JinjaCall {
        let positional = try arguments.positional.map(evaluate)
        var named: [String: JinjaValue] = [:]
        for (name, value) in arguments.named { named[name] = try evaluate(value) }
        return JinjaCall(positional: positional, named: named, line: line)
    }

    private func call(_ callee: JinjaExpression, _ arguments: JinjaArguments) throws -> JinjaValue {
        if case .attribute(let base, let name) = callee {
            let object = try evaluate(base)
            let arguments = try call(arguments)
            if let result = try method(name, of: object, arguments) { return result }
            return try invoke(try attribute(object, name), name, arguments)
        }
        let function = try evaluate(callee)
        var name = "the value"
        if case .name(let called) = callee { name = called }
        return try invoke(function, name, try call(arguments))
    }

    private func invoke(_ value: JinjaValue, _ name: String, _ arguments: JinjaCall) throws -> JinjaValue {
        guard case .function(let function) = value else {
            throw error("\(name) cannot be called: it is \(value.kind)")
        }
        callDepth += 1
        defer { callDepth -= 1 }
        guard callDepth <= JinjaLimits.calls else { throw error("calls nested deeper than \(JinjaLimits.calls)") }
        return try function.body(self, arguments)
    }
}
