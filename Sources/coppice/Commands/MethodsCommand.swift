import ArgumentParser
import CoppiceCompression
import CoppiceModels

/// `coppice methods`: what the program can do to a model.
struct MethodsCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "methods", abstract: "List every method: what it does, its recipe key, its paper, its evidence.")

    @OptionGroup var common: CommonOptions

    func run() throws {
        if common.json {
            try Output.json(
                .object([
                    "methods": .array(
                        Methods.all.map { method in
                            .object([
                                "name": .string(method.name), "kind": .string(method.kind.rawValue),
                                "summary": .string(method.summary),
                                "recipe_key": method.recipeKey.map { .string($0) } ?? .null,
                                "example": method.example.map { .string($0) } ?? .null,
                                "paper": .string(method.paper),
                                "evidence": method.evidence.map { .string($0) } ?? .null,
                            ])
                        })
                ]))
            return
        }
        for method in Methods.all {
            try Output.line("\(method.name) (\(method.kind.rawValue))")
            try Output.line("    \(method.summary)")
            if let key = method.recipeKey { try Output.line("    recipe: \(key)") }
            try Output.line("    paper: \(method.paper)")
            if let evidence = method.evidence { try Output.line("    evidence: coppice reproduce \(evidence)") }
        }
    }
}
