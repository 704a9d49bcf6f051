// Unverified, as is every Gradle file here: nobody has run them yet.
pluginManagement {
    repositories {
        google()
        mavenCentral()
        gradlePluginPortal()
    }
}

dependencyResolutionManagement {
    repositoriesMode.set(RepositoriesMode.FAIL_ON_PROJECT_REPOS)
    repositories {
        google() // LiteRT
        mavenCentral() // ExecuTorch
    }
}

rootProject.name = "squeezebert-edge-demo"
include(":core", ":app")
if (file("bundles_pack/src/main/assets").isDirectory) include(":bundles_pack")
