import CoppiceCompression
import CoppiceTensors
import Foundation
import Testing

@Suite struct GrokkingFolderTests {
    private var settings: GrokkingSettings {
        var settings = GrokkingSettings()
        (settings.modulus, settings.embeddingSize, settings.hiddenSize) = (11, 12, 8)
        (settings.steps, settings.seed) = (40, 3)
        return settings
    }

    /// A folder with a run of 40 steps whose weights at step 20 are kept.
    private func withRun(_ body: (GrokkingFolder, GrokkingTask, GrokkingStudy, GrokkingStudy.Dense) throws -> Void)
        throws
    {
        let folder = GrokkingFolder(
            FileManager.default.temporaryDirectory.appendingPathComponent("coppice-\(UUID().uuidString)").path)
        try FileManager.default.createDirectory(atPath: folder.path, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: folder.path) }
        let task = try settings.makeTask()
        let study = GrokkingStudy(task: task, training: settings.training, seed: settings.seed)
        let dense = try study.dense(sourceSteps: [20])
        try folder.write(dense, settings: settings, task: task)
        try body(folder, task, study, dense)
    }

    private func expectError(_ part: String, _ body: () throws -> Void) {
        do {
            try body()
            Issue.record("no error about \(part)")
        } catch let error as CoppiceError {
            #expect(error.description.contains(part))
            #expect(!error.description.contains("\n"))
        } catch {
            Issue.record(error)
        }
    }

    @Test func ticketsOfAFolderAreThoseOfTheRun() throws {
        try withRun { folder, task, study, dense in
            #expect(try folder.settings() == settings)
            let read = try folder.dense(task: task)
            #expect(Set(read.checkpoints.keys) == [20, 40] && read.lastStep == 40)
            for step in [20, nil] {
                let arm = GrokkingArm(.ticket(step: step), kept: 0.5, steps: 30)
                #expect(try study.run(arm, after: read) == study.run(arm, after: dense))
            }
            let curve = try String(contentsOfFile: folder.path + "/dense.csv", encoding: .utf8)
            #expect(curve == dense.outcome.curve.csv)
            // The dense run's row of a table is the same from the folder.
            #expect(read.outcome.curve.csv == curve && read.outcome.curve.threshold == dense.outcome.curve.threshold)
            #expect(
                GrokkingTable(dense: read.outcome, arms: []).rows == GrokkingTable(dense: dense.outcome, arms: []).rows)
        }
    }

    @Test func rewindingToALaterStepStartsThere() throws {
        try withRun { folder, task, study, _ in
            let arm = GrokkingArm(.ticket(step: nil), kept: 1, steps: 1)
            let outcome = try study.run(arm, after: folder.dense(task: task, rewindStep: 20))
            let original = try study.dense(sourceSteps: []).outcome.curve.points.first { $0.step == 20 }
            #expect(outcome.curve.points[0].trainLoss == original?.trainLoss)
        }
    }

    @Test func whatIsMissingOrDamagedIsNamed() throws {
        try withRun { folder, task, _, _ in
            let csv = try String(contentsOfFile: folder.path + "/dense.csv", encoding: .utf8)
            try folder.write(csv + "60,0.5\n", to: "dense.csv")
            expectError("dense.csv: line \(csv.split(separator: "\n").count + 1): expected a step and six numbers") {
                _ = try folder.dense(task: task)
            }
            try folder.write("step\n", to: "dense.csv")
            expectError("dense.csv: line 1: expected step,train_accuracy") { _ = try folder.dense(task: task) }
            try folder.write(csv, to: "dense.csv")
            expectError("step-7.safetensors") { _ = try folder.dense(task: task, rewindStep: 7) }
            let cut = try Data(contentsOf: URL(fileURLWithPath: folder.path + "/step-20.safetensors")).prefix(200)
            try cut.write(to: URL(fileURLWithPath: folder.path + "/step-20.safetensors"))
            expectError("step-20.safetensors") { _ = try folder.dense(task: task) }
            try FileManager.default.removeItem(atPath: folder.path + "/initial.safetensors")
            expectError("initial.safetensors") { _ = try folder.dense(task: task) }
            try folder.write("{", to: "settings.json")
            expectError("settings.json") { _ = try folder.settings() }
        }
        expectError("settings.json") { _ = try GrokkingFolder("/nowhere").settings() }
    }

    @Test func settingsOutOfRangeAreNamed() {
        func expect(_ field: String, _ change: (inout GrokkingSettings) -> Void) {
            var settings = settings
            change(&settings)
            expectError(field) { _ = try settings.makeTask() }
        }
        expect("steps") { $0.steps = 0 }
        expect("every") { $0.interval = 0 }
        expect("embedding") { $0.embeddingSize = 0 }
        expect("hidden") { $0.hiddenSize = 100_000 }
        expect("lr") { $0.learningRate = .nan }
        expect("wd") { $0.weightDecay = -1 }
        expect("stop") { $0.stopAccuracy = 0 }
        expect("threshold") { $0.threshold = 1.5 }
        expect("p") { $0.modulus = 0 }
        expect("frac") { $0.trainFraction = 1 }
        expect("data") { $0.task = .mnist }
    }

    @Test func compositeModuliAreAllowedWithAWarning() throws {
        var settings = settings
        #expect(settings.warning == nil)
        settings.modulus = 12
        #expect(settings.warning?.contains("12") == true)
        #expect(try settings.makeTask().train.count == 39)
    }

    @Test func controlsAreAllThereAndDifferent() {
        let arms = GrokkingArm.controls(testStep: 100, sourceSteps: [10, 20], stepsWithoutDecay: 300, perTensor: true)
        #expect(Set(arms.map(\.name)).count == arms.count && arms.count == 21)
        #expect(arms.count { $0.weightDecay == 0 && $0.steps == 300 } == 2)
        // Penalties take the place of decay, and have their powers and strengths in their names.
        let penalties = arms.filter { $0.name.hasPrefix("dense-penalty") }
        #expect(penalties.allSatisfy { $0.weightDecay == 0 && $0.kept == 1 && $0.steps == 200 })
        #expect(penalties.first?.name == "dense-penalty-l1-1e-05" && penalties.count == 4)
        let fewer = GrokkingArm.controls(testStep: 100, sourceSteps: [10, 20], stepsWithoutDecay: 300)
        #expect(Set(fewer.map(\.name)).isSubset(of: arms.map(\.name)) && fewer.count == 19)
        // What has no decay has not twice as much either.
        let free = GrokkingArm.controls(weightDecay: 0, testStep: 100, sourceSteps: [], stepsWithoutDecay: 300)
        #expect(!free.contains { $0.start == .otherDecay } && fewer.contains { $0.name == "dense-decay-2.0" })
    }

    @Test func tableSaysWhatThereIsNot() throws {
        try withRun { _, _, study, dense in
            let arm = try study.run(GrokkingArm(.random, kept: 0.5, steps: 10), after: dense)
            let table = GrokkingTable(dense: dense.outcome, arms: [arm])
            #expect(table.rows.count == 2 && table.rows.allSatisfy { $0.count == GrokkingTable.head.count })
            #expect(table.csv.split(separator: "\n").count == 3)
            #expect(
                table.text.split(separator: "\n").map(\.count).allSatisfy {
                    $0 == table.text.split(separator: "\n")[0].count
                })
            #expect(table.rows[1][0] == "random-k0.5" && table.rows[1][6] == "-")
        }
    }
}
