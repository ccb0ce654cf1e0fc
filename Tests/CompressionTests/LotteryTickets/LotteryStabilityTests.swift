import CoppiceCompression
import CoppiceModels
import CoppiceNetworks
import CoppiceTensors
import CoppiceTraining
import Foundation
import Testing

/// Stability of tickets for several k, in a folder.
@Suite struct LotteryStabilityTests {
    private let folder: TemporaryFolder

    init() throws {
        folder = try TemporaryFolder()
        try DrawnImageFolder.write(100, test: 40, to: folder.path + "/images")
    }

    private func recipe() throws -> ClassificationRecipe {
        try ClassificationRecipe(
            yaml: """
                seed: 3
                model: { architecture: lenet-300-100, width_multiplier: 0.1 }
                images: { directory: \(folder.path)/images, validation: 0 }
                optimizer: { learning_rate: 0.05 }
                training: { epochs: 2, batch_size: 20 }
                """, source: "r.yaml")
    }

    private func measure(
        _ points: [LotteryRewind], levels: Int = 2, resumes: Bool = false
    ) throws -> LotteryStability.Results {
        var settings = LotterySettings()
        (settings.levels, settings.pruneFraction) = (levels, 0.4)
        return try LotteryStability(
            recipe(), settings, points: points, options: .init(output: folder.path + "/run", resumes: resumes)
        ).execute()
    }

    /// The numbers of the library, and the same when they are read back.
    @Test func isTheStabilityInMemory() throws {
        let results = try measure([.share(0.4), .step(0)])
        #expect(results.isComplete && results.steps == [0, 4] && results.entries.map(\.step) == [0, 4])
        let training = try ImageDataSet.open(folder.path + "/images", split: .train)
        let test = try ImageDataSet.open(folder.path + "/images", split: .test)
        let rates = LearningRateSchedule(kind: .cosine, peak: 0.05, warmupSteps: 0, minimumRatio: 0, totalSteps: 10)
        for entry in results.entries {
            let method = try IterativePruning(
                training: SupervisedTraining(optimizer: SGD(momentum: 0.9, weightDecay: 5e-4), rates: rates),
                rewindStep: entry.step, pruneFraction: 0.4)
            let network = try VisionArchitecture(
                named: "lenet-300-100", classes: training.classCount, inputChannels: 1, imageSize: [28, 28],
                widthMultiplier: 0.1
            ).makeNetwork(seed: 3)
            let prunable = try PrunableNetwork(network)
            let (first, second) = (
                ImageBatches(training, batchSize: 20, seed: 3),
                ImageBatches(training, batchSize: 20, seed: 3 ^ 0x9E37_79B9_7F4A_7C15)
            )
            let rewound = try method.trainToRewindStep(network, on: first)
            let (tickets, dense) = try method.tickets(prunable, levels: 2, rewound: rewound, on: first)
            let ticket = try #require(tickets.last)
            #expect(entry.density == ticket.density)
            for (branch, own) in [(TicketBranch.rewound, entry.ticket), (.shuffled(seed: 3), entry.shuffled)] {
                let expected = try method.stability(
                    of: ticket, branch: branch, dense: dense, in: prunable, on: first, and: second
                ) { 1 - (Classification.measure($0, on: test)?.accuracy ?? .nan) }
                #expect(own == expected)
                #expect(own.toDataOrder.euclidean > 0 && own.toPruning.angle > 0)
            }
            #expect(abs(1 - entry.accuracy.ticket - entry.ticket.path.errors[0]) < 1e-12)
            #expect(abs(1 - entry.accuracy.shuffled - entry.shuffled.path.errors[0]) < 1e-12)
        }
        let again = try measure([.step(0), .step(4)], resumes: true)
        for (own, other) in zip(again.entries, results.entries) {
            #expect(own.ticket == other.ticket && own.shuffled == other.shuffled && own.seed == other.seed)
        }
    }

    @Test func mistakesAreNamed() throws {
        func failure(_ body: () throws -> Any) -> String {
            do {
                _ = try body()
                return "nothing was wrong"
            } catch { return "\(error)" }
        }
        #expect(failure { try measure([]) }.contains("ks: is empty"))
        #expect(failure { try measure([.step(4), .share(0.4)]) }.contains("ks: two of them are step 4"))
        #expect(failure { try measure([.step(10)]) }.contains("rewind: 10, expected a step of training"))
        #expect(!FileManager.default.fileExists(atPath: folder.path + "/run"))
        _ = try measure([.step(0)], levels: 1)
        #expect(failure { try measure([.step(1)], levels: 1, resumes: true) }.contains("--ks: is \"1\", and was \"0\""))
        let other = LotteryRun(
            try recipe(), LotterySettings(), options: .init(output: folder.path + "/run", resumes: true))
        #expect(
            failure { try other.execute() }.contains("holds the run of lottery stability, expected one of lottery run"))
        let file = folder.path + "/run/k-0/replicate-1/level-1/stability.json"
        try Data("{}".utf8).write(to: URL(fileURLWithPath: file))
        #expect(failure { try measure([.step(0)], levels: 1, resumes: true) }.contains("stability.json: is damaged"))
    }
}
