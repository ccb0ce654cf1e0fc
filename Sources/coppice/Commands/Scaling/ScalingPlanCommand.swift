import ArgumentParser
import CoppiceModels
import CoppiceTensors
import CoppiceTraining

/// `coppice scaling plan`: what to train.
struct ScalingPlanCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "plan", abstract: "Say what size, tokens and sparsity reach a loss with the least compute.",
        discussion: """
            --compute C plans for the loss that a compute-optimal dense model reaches with C operations of training, \
            --loss L for a given loss. Compute counts training (6 N D) and use (2 N for each of --inference-tokens). The \
            law is fitted to --runs; without it that of Chinchilla is taken.
            """)

    @Option(help: ArgumentHelp("Operations of dense training, 6 N D.", valueName: "c"))
    var compute: Double?
    @Option(help: ArgumentHelp("The loss to reach, in nats a token.", valueName: "l"))
    var loss: Double?
    @Option(help: ArgumentHelp("Tokens that the model will read and write in use.", valueName: "n"))
    var inferenceTokens = 0.0
    @Option(help: ArgumentHelp("A CSV file of runs to fit the law to (see scaling fit).", valueName: "runs"))
    var runs: String?
    @Option(
        help: ArgumentHelp("Final sparsities to compare, separated by commas.", valueName: "s,s"), transform: Self.list)
    var sparsities = ScalingPlan.studiedSparsities
    @OptionGroup var phases: PruningPhaseOptions
    @OptionGroup var common: CommonOptions

    mutating func validate() throws {
        if (compute == nil) == (loss == nil) { throw ValidationError("expected one of --compute and --loss") }
    }

    func run() throws {
        common.apply()
        var options = ScalingLawFit.Options()
        options.bootstrapCount = 0
        let fit = try runs.map { try ScalingLawFit(ScalingRun.load($0), options: options, source: $0) }
        let law = fit?.law
        let plan: ScalingPlan
        if let compute {
            plan = try ScalingPlan(
                operations: compute, law: law ?? .chinchilla, inferenceTokens: inferenceTokens,
                sparsities: sparsities, window: phases.window, ramp: phases.ramp)
        } else {
            plan = try ScalingPlan(
                loss: loss ?? .nan, law: law ?? .chinchilla, inferenceTokens: inferenceTokens,
                sparsities: sparsities, window: phases.window, ramp: phases.ramp)
        }
        if common.json {
            try Output.json(
                .object([
                    "law": (law ?? .chinchilla).json, "undetermined": fit?.undeterminedJSON ?? .array([]),
                    "loss": .number(plan.loss),
                    "inference_tokens": .number(plan.inferenceTokens), "best": Self.json(plan.best),
                    "options": .array(plan.options.map(Self.json)),
                ]))
            return
        }
        try Output.line((law ?? .chinchilla).text + (law == nil ? "  (Hoffmann et al. 2022)" : ""))
        for warning in fit?.warnings ?? [] { try Output.line(warning) }
        try Output.line("loss \(Output.number(plan.loss, digits: 4)) nats a token")
        let heads = ["sparsity", "start size", "average", "final size", "tokens", "training", "use", "together"]
        let rows = plan.options.map { option in
            [
                Output.number(option.finalSparsity) + (option == plan.best ? " *" : ""),
                Output.scientific(option.denseParameters), Output.scientific(option.averageParameters),
                Output.scientific(option.finalParameters), Output.scientific(option.tokens),
                Output.scientific(option.trainingOperations), Output.scientific(option.inferenceOperations),
                Output.scientific(option.operations),
            ]
        }
        for row in [heads] + rows {
            try Output.line(
                row.map { $0.padding(toLength: 12, withPad: " ", startingAt: 0) }.joined()
                    .replacingOccurrences(of: " +$", with: "", options: .regularExpression))
        }
        try Output.line("* the least compute, and of equal ones the smallest model")
    }

    private static func json(_ option: ScalingPlan.Option) -> JSON {
        .object([
            "final_sparsity": .number(option.finalSparsity), "parameters": .number(option.denseParameters),
            "average_parameters": .number(option.averageParameters),
            "final_parameters": .number(option.finalParameters), "tokens": .number(option.tokens),
            "training_flops": .number(option.trainingOperations),
            "inference_flops": .number(option.inferenceOperations), "flops": .number(option.operations),
            "loss": .number(option.loss),
        ])
    }

    static func list(_ text: String) throws -> [Double] {
        try text.split(separator: ",").map { part in
            guard let value = Double(part), value >= 0, value < 1 else {
                throw ValidationError("\"\(text)\", expected sparsities from 0 to below 1 such as 0,0.5,0.8")
            }
            return value
        }
    }
}
