plugins {
    alias(libs.plugins.android.application)
}

android {
    namespace = "io.squeezebert.edge.demo"
    compileSdk = 36

    defaultConfig {
        applicationId = "io.squeezebert.edge.demo"
        minSdk = 26
        targetSdk = 36
        versionCode = 1
        versionName = "0.1.0"
        // What both runtimes have; the other ABIs are of phones too old for either.
        ndk { abiFilters += listOf("arm64-v8a", "x86_64") }
        buildConfigField("String", "LITERT_VERSION", "\"${libs.versions.litert.get()}\"")
        buildConfigField("String", "EXECUTORCH_VERSION", "\"${libs.versions.executorch.get()}\"")
    }

    buildFeatures { buildConfig = true }

    buildTypes {
        release {
            isMinifyEnabled = true
            isShrinkResources = true
            proguardFiles(getDefaultProguardFile("proguard-android-optimize.txt"), "proguard-rules.pro")
        }
    }

    compileOptions {
        sourceCompatibility = JavaVersion.VERSION_1_8
        targetCompatibility = JavaVersion.VERSION_1_8
    }

    // Stored as they are, so that installing and copying them does not cost a decompression.
    androidResources { noCompress += listOf("tflite", "pte") }

    packaging {
        jniLibs {
            // Libraries stay in the APK, aligned to 16 KB, and are mapped from there; an NPU's are opened as files.
            useLegacyPackaging = file("src/main/jniLibs").isDirectory
            pickFirsts += "**/libc++_shared.so" // in case both runtimes bring one
        }
    }

    // Play gives each phone the files of its own chip. Without a pack the bundles are the app's assets.
    if (rootProject.findProject(":bundles_pack") != null) {
        assetPacks += ":bundles_pack"
        bundle {
            deviceTargetingConfig = file("../bundles_pack/src/main/device_targeting_configuration.xml")
            deviceGroup {
                enableSplit = true
                defaultGroup = "other"
            }
        }
    }

    lint {
        abortOnError = true // NewApi among them: a call that Android 8 does not know
        // Versions are those of the Python side, not the newest.
        disable += listOf("GradleDependency", "NewerVersionAvailable", "AndroidGradlePluginVersion", "OldTargetApi")
        disable += "UnusedAttribute" // what older systems ignore
    }
}

dependencies {
    implementation(project(":core"))
    implementation(libs.litert)
    implementation(libs.litert.gpu)
    implementation(libs.executorch)
    testImplementation(libs.junit)
    testImplementation(testFixtures(project(":core")))
}
